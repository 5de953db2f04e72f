// Package environment keeps packs ready to run: unpacked, read-only, and with what their runtimes need built.
//
// A Store is a folder with one folder for each digest of a pack's archive. Every try to make a pack ready has a
// folder of its own in there, and never leaves it, because virtual environments cannot be moved:
//
//	<dir>/<digest>/complete.json      says which try is the one to use; written last, by a rename
//	<dir>/<digest>/<try>/pack         the archive's files, and what runtimes put among them; read-only
//	<dir>/<digest>/<try>/env/<name>   what was built for a runtime, such as a Python venv
//
// It guarantees:
//
//   - Nothing half built is ever used. What complete.json does not name is removed and built again, whatever
//     ended the try before: a kill, a full disk, a power failure.
//   - One builder at a time for each digest, among all processes that share the folder. The others wait for it and
//     use what it made. Within a process all that ask for a digest share one build.
//   - A pack goes on with the interpreters that it was built with. When one of them has gone, or is of another minor
//     version than it was, the pack is built again beside, and what is running keeps the old files.
//   - A folder is removed after its last use, in whatever process that is.
//   - Builds run with an empty home, a clean environment and bounds on time and disk; nothing of them outlives
//     their end, or that of this process.
package environment
