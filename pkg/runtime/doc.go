// Package runtime knows how the programs of actions are started: which interpreters there are, how what they need is
// built, and what an entry point becomes with each.
//
// It guarantees that a runtime it reports was run and told its own version, that a program is started by the
// absolute path of what was found, and that no value of a parameter or secret becomes part of a command line
// or of the environment: functions read them from standard input, shell variables come over a pipe, quoted,
// and are not exported. Nothing of a pack decides what the environment of its programs is.
//
// Runtimes are data: files of names, questions and forms of command, of which an operator can add more. A mistake in
// such a file is found when it is read.
package runtime
