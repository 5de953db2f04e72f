// Package parts puts a process of Attune together: which services there are, what each needs, and in which
// order they start and stop.
//
// `attune up` and `attune serve` build their services here and nowhere else, so one process with all of them
// and one process for each run the same code.
package parts
