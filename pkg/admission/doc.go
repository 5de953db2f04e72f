// Package admission decides which waiting execution may start.
//
// State is a pure state machine: events go in (an execution was queued, dispatched, started or ended; a limit,
// a pause), decisions come out of Next. It does no I/O, starts nothing and has no clock: the caller says what
// time it is. It is not safe for concurrent use; its owner is one goroutine.
//
// It guarantees that the executions of one queue (an action and a concurrency key) are admitted in the order
// of their sequence in the stream QUEUE, that no more of them hold a slot at once than the action's limit
// allows at the time of the decision, that an execution is admitted at most once per attempt however often
// its events are repeated, and that every event costs a time that does not depend on the number of queues.
package admission
