// Package admission decides which waiting execution may start.
//
// State is a pure state machine: events go in (an execution was queued, dispatched, started, ended, or is to be
// tried again; a limit, a rate, an operator's word), decisions come out of Next: admit, refuse, expire, put in
// line again. It does no I/O, starts nothing and has no clock: the caller says what time it is, and Wake says when
// to come back. It is not safe for concurrent use; its owner is one goroutine.
//
// It guarantees, for each queue (an action and a concurrency key):
//   - within one priority, executions are admitted in the order of their sequence in the stream QUEUE; one of a
//     lower priority moves up a step each time it has waited the time that New was given. Where there is a limit,
//     the next is admitted when a runner has claimed the one before, so that they are claimed in that order too;
//   - no more of them hold a slot at once than the action's limit allows at the time of the decision, and over
//     all queues no more than the limits of the pack and of all together; lowering a limit takes no slot away, and
//     admits nobody until enough have ended;
//   - no more of them start in a time than the action's rate allows, and who waits for the rate keeps its place;
//   - an execution is admitted at most once per attempt however often its events are repeated.
//
// Queues that compete for a limit of their pack, or of all, take turns. Every event costs a time that does not
// depend on the number of queues, but for an operator's word about a pack or about all.
package admission
