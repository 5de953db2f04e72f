// Package sandbox takes from a program, before its first instruction, what it does not need to do its work.
//
// It guarantees of every program that is started through a Policy that neither it nor anything that it starts
//
//   - can gain rights by executing a file (no_new_privs, no capabilities);
//   - can open a file that the policy does not name, the data folder of Attune and the work of other programs
//     above all (Landlock);
//   - can trace, signal or read the memory, the environment or the descriptors of a process that is not its own,
//     or reach its abstract sockets, as far as the kernel tells them apart (Landlock, and a uid of its own);
//   - can use the parts of the kernel that no action needs and that exploits do: tracing, namespaces, mounts, keys,
//     io_uring, BPF and others (seccomp);
//   - leaves a core file.
//
// Where Attune is root a program has besides a user of its own, and a Room: its own processes, mounts, System V objects
// and /tmp. Killing a room kills all that is in it at once, whatever it did to get away.
//
// A Sandbox is opened only where the floor can be applied: no_new_privs, Landlock and seccomp. What else of it is
// active on a machine is told by Features.
//
// How it is done: rights of this kind belong to threads, and are inherited by what a thread starts. So a thread takes
// them from itself, starts the program, and those after it that may do the same in the same room, and ends. No program
// stands between, which makes a start cheap and leaves errors, signals and exit statuses as they are.
package sandbox
