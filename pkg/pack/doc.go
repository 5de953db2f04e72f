// Package pack is what a pack is: its files, their types, and the archive they travel in.
//
// A pack is a folder with pack.yaml, actions/, triggers/, sensors/, rules/ and code. Load reads one and
// reports every mistake in it at once, each with file, line and column.
package pack

//go:generate go test . -run Published -update
