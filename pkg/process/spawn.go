package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Class says why a program could not be started.
type Class string

// The classes of SpawnError.
const (
	NotFound       Class = "not_found"       // the program or its folder does not exist
	NotExecutable  Class = "not_executable"  // no permission, a folder, a file system without execution
	ExecFormat     Class = "exec_format"     // neither a binary of this machine nor a script with "#!"
	BadInterpreter Class = "bad_interpreter" // the program behind "#!", or the binary's loader, does not exist
	Resources      Class = "resources"       // no memory, processes or file descriptors left
	Isolation      Class = "isolation"       // it could not be put into its sandbox
	Other          Class = "other"
)

// SpawnError is returned when a program could not be started: none of it has run.
type SpawnError struct {
	Class Class
	Path  string
	Hint  string // what is wrong in words; may be empty
	Err   error
}

// Error describes the fault with the program's path.
func (e *SpawnError) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("start %s: %s: %v", e.Path, e.Class, e.Err)
	}
	return fmt.Sprintf("start %s: %s: %s: %v", e.Path, e.Class, e.Hint, e.Err)
}

// Unwrap gives the system's error.
func (e *SpawnError) Unwrap() error { return e.Err }

func spawnError(s Spec, err error) error {
	if _, ok := errors.AsType[*SpawnError](err); ok {
		return err
	}
	e := &SpawnError{Class: Other, Path: s.Path, Err: err}
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		e.Class, e.Hint = missing(s)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EISDIR):
		e.Class = NotExecutable
		if s.Sandbox != nil && unix.Access(s.Path, unix.X_OK) == nil {
			e.Hint = "its sandbox does not let it reach the file, or the interpreter behind it"
		}
	case errors.Is(err, syscall.ENOEXEC):
		e.Class, e.Hint = ExecFormat, `not a program of this machine, and no "#!" line`
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE),
		errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ETXTBSY), errors.Is(err, syscall.E2BIG):
		e.Class = Resources
	}
	return e
}

// missing tells apart what the system reports alike: no folder, no program, no interpreter.
func missing(s Spec) (Class, string) {
	if s.Dir != "" {
		if _, err := os.Stat(s.Dir); err != nil {
			return NotFound, fmt.Sprintf("working folder %s does not exist", s.Dir)
		}
	}
	if _, err := os.Stat(s.Path); err != nil {
		return NotFound, ""
	}
	interpreter, crlf := Interpreter(s.Path)
	switch {
	case crlf:
		return BadInterpreter, `the "#!" line ends in a carriage return (Windows line ending)`
	case interpreter != "":
		return BadInterpreter, fmt.Sprintf("interpreter %q does not exist", interpreter)
	}
	return BadInterpreter, "the binary's loader does not exist"
}

// maxShebang is how much of a "#!" line the kernel looks at.
const maxShebang = 256

// Interpreter gives what stands behind "#!" in the first line of a file, or "" when there is none, and
// whether that line ends in a carriage return, which makes a name that no interpreter has.
func Interpreter(path string) (line string, crlf bool) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return "", false
	}
	defer func() { _ = f.Close() }() // it was only read
	head := make([]byte, maxShebang)
	n, _ := f.Read(head) // an empty or unreadable file has no such line
	first, _, _ := bytes.Cut(head[:n], []byte("\n"))
	rest, ok := strings.CutPrefix(string(first), "#!")
	if !ok {
		return "", false
	}
	trimmed, crlf := strings.CutSuffix(rest, "\r")
	return strings.TrimSpace(trimmed), crlf
}
