// Package streams declares every name on the bus once: subjects, streams, consumers, buckets, headers and
// the messages that travel on them, each message with a version and a golden file.
//
// It guarantees that a subject built here is well formed (a token from outside can hold no separator or
// wildcard), that every subject built here is stored by exactly one stream, and that Ensure leaves the
// server with the streams, buckets and consumers that this version of Attune needs. It imports nothing
// else of Attune and starts nothing.
package streams

//go:generate go test . -run Golden -update
