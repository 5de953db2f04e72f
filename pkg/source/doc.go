// Package source fetches packs from where people keep them: a folder, an archive, an https address, a git repository
// or, by name, an index.
//
// It guarantees that what it gives is a pack without mistakes and says where it came from, exactly enough to get the
// same again; that bytes from a network are the ones that were asked for, by their SHA-256, a commit or a signature;
// and that time, size and redirections are bounded. Git runs without hooks, prompts, submodules or the configuration
// of the user. What the user typed never becomes an option of a program.
package source
