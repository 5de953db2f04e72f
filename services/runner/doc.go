// Package runner runs executions: it takes what the scheduler admitted, claims it, runs one process for it,
// and says how it ended.
//
// It guarantees that a process is started only after the claim succeeded by compare-and-set, so that no two
// runners ever run one attempt; that an end is published by compare-and-set as well, so that a runner which
// was given up cannot end anything; that what a process wrote is stored before its end is announced; that an
// end which could not be published survives the runner's death in its spool; and that a runner which cannot
// renew its entry in RUNNERS in time kills what it runs before others call it lost.
//
// A runner needs NATS and a folder. It knows no database.
package runner
