// Package forward hands what LOGS carries on to a sink outside of Attune, line by line: files, or a receiver of
// OpenTelemetry logs.
//
// Guarantees: what LOGS holds reaches the sink at least once, and the lines of a stream in their order; a message is
// acknowledged only when the sink has all lines that begin in it. A sink that is away delays and nothing else: nobody
// who writes waits for it, and memory stays bounded. What LOGS dropped meanwhile, and what the sink refuses for good,
// is counted.
package forward
