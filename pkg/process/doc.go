// Package process runs programs as whole trees of processes.
//
// A Launcher starts a program in a session of its own with exactly the environment it is given, feeds its
// input, hands its output on in chunks and waits for its end. It guarantees:
//
//   - When Run returns, every process that descends from the program has ended, those that left the session
//     or were adopted by others included; Result.LeftBehind counts any that could not be killed.
//   - When the process that holds the Launcher dies, by whatever signal, a guard process kills all that it
//     had started, within milliseconds.
//   - Output is read as it comes, never by lines, so no line is too long; a writer that is slow slows the
//     program, a writer that fails does not block it.
//   - A program that could not be started is a SpawnError with a class, never a failed program.
//   - A program that is held has run no instruction until it is let go, and never runs one if the process that holds the
//     Launcher dies before.
//
// How a program is held: it is traced by the thread that forked it, from just before its exec on, and stands there. When
// the tracer dies the system kills it (PTRACE_O_EXITKILL). Until that is set, and for the rest of its life, it dies by
// a signal when the thread that forked it ends, so that thread stays to wait for it.
//
// How descendants are known: the launching process is the reaper of its orphans (PR_SET_CHILD_SUBREAPER),
// and each tree carries a mark that survives fork, exec, setsid and a cleared environment: the limit on
// real-time scheduling time (RLIMIT_RTTIME), far above any value that could be reached, with the number of
// the run in it. The session and a text in the environment are looked at as well, for what was forked before
// the mark was set. A program that changes this very limit and also leaves its session and clears its
// environment escapes; control groups are the answer to that where they are available.
//
// The guard is this program itself, started again under the name of GuardName: any binary that imports this
// package can be one, test binaries included.
package process
