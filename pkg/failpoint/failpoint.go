// Package failpoint lets a test end or stop a process of Attune at a named place in its code.
//
// In an ordinary build Hit is an empty function that the compiler removes. In a build with the tag failpoint the
// main program may arm the points with a plan; every firing is on disk before it does its deed, so that a test
// can tell that what it survived has happened. The package reads no environment.
package failpoint

// Name is a place in the code. All of them are declared here; a test checks that each is hit somewhere.
type Name string

// Places on the way of a request, in whoever requests: the API, rules.
const (
	ExecutionRequested Name = "execution.requested" // its fact is stored, its queue message is not
	ExecutionQueued    Name = "execution.queued"    // both are stored, and nobody has been told
)

// Places in the API.
const (
	APISealed    Name = "api.sealed"    // the secrets of an execution are kept, it is not requested
	APIRequested Name = "api.requested" // the execution is in line, the client has no answer
)

// Places in the API where secrets go over to another key.
const (
	SecretsActivating Name = "secrets.activating" // a key is to be the current one, in a transaction that is open
	SecretsRenewing   Name = "secrets.renewing"   // some data keys are wrapped anew, in a transaction that is open
	SecretsRenewed    Name = "secrets.renewed"    // some are, and more are to be
)

// Places on the way of a pack into service, in the API and in the installer that it runs.
const (
	InstallRecorded  Name = "install.recorded"  // the version is recorded, nobody else knows of it and the client has no answer
	InstallAnnounced Name = "install.announced" // runners were told of it
	InstallSwitching Name = "install.switching" // it is to go in service
	InstallSwitched  Name = "install.switched"  // it is in service, and nobody was told
)

// Places in rules, in the order in which a burst of events passes them.
const (
	RulesDecided   Name = "rules.decided"   // nothing is published
	RulesRequested Name = "rules.requested" // the executions are in line, the decisions are not recorded
	RulesRecorded  Name = "rules.recorded"  // the decisions are recorded
)

// Places in a runner, in the order in which an execution passes them.
const (
	RunnerReceived Name = "runner.received" // a dispatch has come, nothing is claimed
	RunnerClaimed  Name = "runner.claimed"  // the claim is stored, the dispatch is not acknowledged
	RunnerAcked    Name = "runner.acked"    // the dispatch is acknowledged, the process is not started
	RunnerExited   Name = "runner.exited"   // the process has ended, nothing of that is kept
	RunnerSpooled  Name = "runner.spooled"  // the end is in the spool, it is not published
	RunnerEnded    Name = "runner.ended"    // the end is published, it is still in the spool
)

// Places where a log is stored, in a runner or in the recorder that completes what a runner left.
const (
	LogsCut         Name = "logs.cut"         // a segment is full, nothing of it is stored
	LogsChunked     Name = "logs.chunked"     // its chunks are stored, its description is not: nobody sees it
	LogsStored      Name = "logs.stored"      // the segment is stored
	LogsUnmanifest  Name = "logs.unmanifest"  // all segments are stored, the manifest is not
	LogsUncompleted Name = "logs.uncompleted" // the same of a log that is completed
)

// Places in the leading scheduler, in the order of a term and of an execution's way through it.
const (
	SchedulerMarked     Name = "scheduler.marked"     // earlier leaders are fenced off, nothing is known yet
	SchedulerRebuilt    Name = "scheduler.rebuilt"    // everything is in its place, nothing is admitted
	SchedulerAdmitted   Name = "scheduler.admitted"   // an execution is admitted, its dispatch is not sent
	SchedulerDispatched Name = "scheduler.dispatched" // the dispatch is on its way to the server
	SchedulerDue        Name = "scheduler.due"        // the delay of a next attempt is over, it is not in line
	SchedulerRequeued   Name = "scheduler.requeued"   // it is in line, the message of the attempt before is there
	SchedulerEnded      Name = "scheduler.ended"      // an execution has ended, its queue message is there
	SchedulerRemoved    Name = "scheduler.removed"    // the queue message is deleted
)

// Places in the recorder where it sweeps.
const (
	RetentionRemoved Name = "retention.removed" // some logs are removed, their rows do not say so
	RetentionMarked  Name = "retention.marked"  // they do, and more are to be removed
)

// Names lists all places.
func Names() []Name {
	return []Name{
		ExecutionRequested, ExecutionQueued, APISealed, APIRequested,
		InstallRecorded, InstallAnnounced, InstallSwitching, InstallSwitched,
		SecretsActivating, SecretsRenewing, SecretsRenewed,
		RulesDecided, RulesRequested, RulesRecorded,
		RunnerReceived, RunnerClaimed, RunnerAcked, RunnerExited, RunnerSpooled, RunnerEnded,
		LogsCut, LogsChunked, LogsStored, LogsUnmanifest, LogsUncompleted,
		SchedulerMarked, SchedulerRebuilt, SchedulerAdmitted, SchedulerDispatched,
		SchedulerDue, SchedulerRequeued, SchedulerEnded, SchedulerRemoved,
		RetentionRemoved, RetentionMarked,
	}
}
