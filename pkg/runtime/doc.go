// Package runtime knows how the programs of actions are started: which interpreters there are, and what an
// entry point becomes with each.
//
// It guarantees that a runtime it reports was run and told its own version, that a program is started by the
// absolute path of what was found, and that no value of a parameter or secret becomes part of a command line
// or of the environment: functions read them from standard input, shell variables come over a pipe, quoted,
// and are not exported. Runtimes are data: a table of names, questions and forms of command.
package runtime
