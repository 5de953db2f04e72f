package runtime

import "strconv"

// Identity is what a program may know of its execution without reading its input.
type Identity struct {
	Execution  string
	Action     string
	Attempt    int
	ResultFile string
	WorkDir    string // HOME and TMPDIR
}

// Names of environment strings that tell one execution's processes from all others.
const (
	EnvExecution  = "ATTUNE_EXECUTION_ID"
	EnvResultFile = "ATTUNE_RESULT_FILE"
)

// Environ is the environment of a program, all of it.
func (s *Set) Environ(i Identity) []string {
	return []string{
		EnvExecution + "=" + i.Execution,
		EnvResultFile + "=" + i.ResultFile,
		"ATTUNE_ACTION=" + i.Action,
		"ATTUNE_ATTEMPT=" + strconv.Itoa(i.Attempt),
		"HOME=" + i.WorkDir,
		"TMPDIR=" + i.WorkDir,
		"PATH=" + s.path,
		"LANG=C.UTF-8",
	}
}
