package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/attune/attune/pkg/tinyelf"
)

// initName is what the first process of a room is called in lists of processes.
const initName = "attune-init"

// initStart is where the code of the first process of a room begins, in this program: init_*.s.
var initStart uintptr // set by the assembler

// writeInit writes the program, unless it is there.
func writeInit(dir string) (string, error) {
	file, program := filepath.Join(dir, initName), tinyelf.Program(&initStart, nil)
	if old, err := os.ReadFile(filepath.Clean(file)); err == nil && string(old) == string(program) {
		return file, nil
	}
	fresh, err := os.CreateTemp(dir, initName)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", initName, err)
	}
	_, err = fresh.Write(program)
	err = errors.Join(err, fresh.Chmod(0o500), fresh.Close())
	if err == nil {
		err = os.Rename(fresh.Name(), file)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write %s: %w", initName, err), os.Remove(fresh.Name()))
	}
	return file, nil
}

// initCode is not called, only copied.
func initCode() //nolint:unused // likewise
