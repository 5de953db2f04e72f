// Package packtest runs the tests that a pack brings, without a server: actions as a runner runs them, and rules as
// the rules service decides.
//
// It guarantees that parameters, configuration and results are checked as they are in an installation, that programs
// get exactly what they get there and no more, and that nothing of a case is left when the next one begins.
package packtest
