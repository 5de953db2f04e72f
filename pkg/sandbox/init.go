package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"
)

// initName is what the first process of a room is called in lists of processes.
const initName = "attune-init"

// initStart is where the code of the first process of a room begins, in this program: init_*.s.
var initStart uintptr // set by the assembler

// initBytes is more than that code has. What follows it in this program is never reached.
const initBytes = 512

// Sizes of an ELF file for 64 bits, and where the program is put in memory.
const (
	elfHeader  = 64
	elfProgram = 56
	elfAt      = 1 << 16
	elfCode    = elfHeader + elfProgram
)

// initProgram makes a whole program of the code: one page, no libraries, no memory of its own but a stack.
func initProgram() []byte {
	code := unsafe.Slice(*(**byte)(unsafe.Pointer(&initStart)), initBytes) // the text does not move
	le := binary.LittleEndian
	b := append([]byte("\x7fELF"), 2, 1, 1, 0)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint16(b, 2) // an executable
	b = le.AppendUint16(b, elfMachine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, elfAt+elfCode) // where it begins
	b = le.AppendUint64(b, elfHeader)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, 0)
	for _, n := range []uint16{elfHeader, elfProgram, 1, 0, 0, 0} {
		b = le.AppendUint16(b, n)
	}
	b = le.AppendUint32(b, 1) // to be loaded
	b = le.AppendUint32(b, 5) // read and execute
	for _, n := range []uint64{0, elfAt, elfAt, elfCode + initBytes, elfCode + initBytes, 1 << 12} {
		b = le.AppendUint64(b, n)
	}
	return append(b, code...)
}

// writeInit writes the program, unless it is there.
func writeInit(dir string) (string, error) {
	file, program := filepath.Join(dir, initName), initProgram()
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
