// Package logs keeps the output of executions.
//
// A Writer takes what a process writes, publishes it in bounded chunks to LOGS while the process runs, and
// keeps it in the object bucket LOGS: zstd segments and a manifest per execution, or, for little output, the
// manifest alone with the output in it. Read serves either, while it grows or long after.
//
// The attempts of an execution write one log, one after the other: Suspend leaves it open, Continue goes on behind
// what there is, whether the attempt before ended or died.
//
// What a runner leaves that dies is served as far as it was stored or published. Complete stores what is only
// published and writes the manifest; RemoveOrphans removes what was stored halfway.
//
// Guarantees: bytes are kept as they are, whatever they are. A byte has one offset, live and stored. Memory is
// bounded for any output. A process is slowed by a slow store, but never blocked for ever: after Patience its
// output is drained, counted, and the log says in that place how much is missing. A log that reaches its limit
// ends with a marker that says how much was not kept. No segment is served whose digest does not fit.
package logs
