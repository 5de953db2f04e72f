package environment

import (
	"fmt"
	"slices"
	"strings"
)

// Class says why a build failed.
type Class string

// The classes of failures.
const (
	BuildFailed  Class = "build_failed"  // a step's command failed, or could not be started
	BuildTimeout Class = "build_timeout" // the steps took longer than they may
	DiskFull     Class = "disk_full"     // no space is left on the disk
	TooLarge     Class = "too_large"     // the build takes more of the disk than it may
	BadPack      Class = "bad_pack"      // the archive is damaged, or what is in it is no pack
)

// Failure is returned when a pack could not be made ready. Nothing is left of the try.
type Failure struct {
	Class Class
	Step  string   // what was being done
	Tail  []string // the last lines of the tool that failed, without control characters
	Err   error
}

// Error says in a line what failed, and what the tool said of it.
func (f *Failure) Error() string {
	text := fmt.Sprintf("%s: %s: %v", f.Class, f.Step, f.Err)
	if line := f.Line(); line != "" {
		text += ": " + line
	}
	return text
}

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Line is the line of the tail that says most: the last that speaks of an error, else the last.
func (f *Failure) Line() string {
	for _, line := range slices.Backward(f.Tail) {
		text := strings.ToLower(line)
		if strings.Contains(text, "error") && !strings.Contains(text, "complete log of this run") {
			return line
		}
	}
	if len(f.Tail) == 0 {
		return ""
	}
	return f.Tail[len(f.Tail)-1]
}
