// Package faulttest proves by real processes what Attune promises under faults: every service, the NATS server and
// every action is a process of its own, which the tests kill, stop and continue, at random or at named places of
// the code (see pkg/failpoint). What happened is judged from outside, by services/attune/attunetest/checker.
//
// Every test says in its name what it shows. In an ordinary run each fault strikes a few times; with -soak DURATION
// the same tests go on, with longer waits, for that long.
package faulttest
