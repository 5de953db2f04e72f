package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/attune/attune/pkg/process"
)

// ErrVariable is returned when a parameter or secret cannot be a shell variable.
var ErrVariable = errors.New("cannot be a shell variable")

// withVariables reads assignments from file descriptor 3, closes it and becomes the script, $0 included.
const withVariables = `. /dev/fd/3; exec 3<&-; . "$0"`

// shells are the programs that a script of the shell runtime may name in its first line.
var shells = []string{"sh", "bash", "dash", "ash", "ksh", "mksh"}

// shell starts a script by the shell that its first line names, with the options given there; without such a
// line by the one that was found. The file need not be executable.
func (s *Set) shell(found Found, file string, variables bool) (Command, error) {
	c := Command{Path: found.Path, Variables: variables}
	line, crlf := process.Interpreter(file)
	if line != "" || crlf {
		var err error
		if c.Path, c.Args, err = s.shebang(file, line, crlf); err != nil {
			return Command{}, err
		}
	}
	if variables {
		c.Args = append(c.Args, "-c", withVariables)
	}
	c.Args = append(c.Args, file)
	return c, nil
}

// shebang finds the shell that a script's first line names.
func (s *Set) shebang(file, line string, crlf bool) (path string, options []string, err error) {
	bad := func(hint string) error {
		return &process.SpawnError{Class: process.BadInterpreter, Path: file, Hint: hint, Err: ErrEntryPoint}
	}
	if crlf {
		return "", nil, bad(`the "#!" line ends in a carriage return (Windows line ending)`)
	}
	words := strings.Fields(line)
	if filepath.Base(words[0]) == "env" && len(words) > 1 {
		words = slices.DeleteFunc(words[1:], func(w string) bool { return w == "-S" })
		if at := lookUp(s.path, words[0]); len(at) > 0 {
			words[0] = at[0]
		}
	}
	if !slices.Contains(shells, filepath.Base(words[0])) {
		return "", nil, bad(fmt.Sprintf("runtime is shell, but %q is not one of %s", words[0], strings.Join(shells, ", ")))
	}
	if _, err := os.Stat(words[0]); err != nil {
		return "", nil, bad(fmt.Sprintf("interpreter %q does not exist", words[0]))
	}
	return words[0], words[1:], nil
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are names that a shell exports already, does not let be set, or gives a meaning to.
var reserved = regexp.MustCompile(`^(PATH|HOME|LANG|TMPDIR|PWD|OLDPWD|SHLVL|_|IFS|ENV|CDPATH|GLOBIGNORE|FUNCNAME|` +
	`UID|EUID|PPID|GROUPS|DIRSTACK|SHELLOPTS|RANDOM|SRANDOM|SECONDS|EPOCHSECONDS|EPOCHREALTIME|LINENO|OPTIND|OPTARG|OPTERR|` +
	`PS[0-4]|PROMPT_COMMAND|POSIXLY_CORRECT|TIMEFORMAT|TMOUT|(BASH|LC|LD|HIST|COMP|ATTUNE)[A-Z_]*)$`)

// CheckVariable tells why a name cannot be that of a shell variable.
func CheckVariable(name string) error {
	switch {
	case !identifier.MatchString(name):
		return fmt.Errorf("%q: not letters, digits and underscores: %w", name, ErrVariable)
	case reserved.MatchString(name):
		return fmt.Errorf("%q: the shell uses it itself: %w", name, ErrVariable)
	}
	return nil
}

// Variables gives the assignments that a script with variables reads before it starts. Values are JSON: text
// arrives as it is, null as nothing, arrays and objects as JSON. Later sets win. All faults are reported.
func Variables(sets ...map[string]json.RawMessage) ([]byte, error) {
	merged := map[string]json.RawMessage{}
	for _, set := range sets {
		maps.Copy(merged, set)
	}
	names := make([]string, 0, len(merged))
	for name := range merged {
		names = append(names, name)
	}
	sort.Strings(names)
	out := bytes.NewBufferString("set +a\n") // or the script's own options might export them
	var faults []error
	for _, name := range names {
		faults = append(faults, assign(out, name, merged[name]))
	}
	return out.Bytes(), errors.Join(faults...)
}

func assign(out *bytes.Buffer, name string, value json.RawMessage) error {
	if err := CheckVariable(name); err != nil {
		return err
	}
	text, err := plain(value)
	if err != nil {
		return fmt.Errorf("%q: %w: %w", name, ErrVariable, err)
	}
	if strings.ContainsRune(text, 0) {
		return fmt.Errorf("%q: its value has a NUL character: %w", name, ErrVariable)
	}
	fmt.Fprintf(out, "%s='%s'\n", name, strings.ReplaceAll(text, "'", `'\''`))
	return nil
}

func plain(value json.RawMessage) (string, error) {
	switch trimmed := bytes.TrimSpace(value); {
	case len(trimmed) == 0 || string(trimmed) == "null":
		return "", nil
	case trimmed[0] == '"':
		var text string
		err := json.Unmarshal(trimmed, &text)
		return text, err
	case trimmed[0] == '{' || trimmed[0] == '[':
		var compact bytes.Buffer
		err := json.Compact(&compact, trimmed)
		return compact.String(), err
	default:
		return string(trimmed), nil
	}
}
