package runtime

import (
	"path/filepath"
	"strconv"
)

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

// ownEnv are the names that every program has from Attune, besides those that begin with ATTUNE_.
var ownEnv = []string{"HOME", "TMPDIR", "PATH", "LANG"}

// Program is what to start for one execution.
type Program struct {
	Path string
	Args []string
	Env  []string // all of it
}

// Program gives what to start for an execution of a command's action.
func (s *Set) Program(c Command, i Identity) Program {
	if c.container != nil {
		return c.container.start(s, i)
	}
	env := append(i.strings(), "PATH="+before(s.path, c.Folders...))
	return Program{Path: c.Path, Args: c.Args, Env: append(env, c.Env...)}
}

// strings are those of the environment that tell a program about its execution.
func (i Identity) strings() []string {
	return []string{
		EnvExecution + "=" + i.Execution,
		EnvResultFile + "=" + i.ResultFile,
		"ATTUNE_ACTION=" + i.Action,
		"ATTUNE_ATTEMPT=" + strconv.Itoa(i.Attempt),
		"HOME=" + i.WorkDir,
		"TMPDIR=" + i.WorkDir,
		"LANG=C.UTF-8",
	}
}

// SpareProgram gives what to start for an execution of a command's action that there is not yet. Until its input says
// which it is, the folder's name stands for its id.
func (s *Set) SpareProgram(c Command, action, workDir, resultFile string) Program {
	i := Identity{Execution: filepath.Base(workDir), Action: action, ResultFile: resultFile, WorkDir: workDir}
	c.Args = c.Spare
	return s.Program(c, i)
}
