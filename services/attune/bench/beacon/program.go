package beacon

import (
	"encoding/binary"
	"net/netip"
	"os"

	"github.com/attune/attune/pkg/tinyelf"
)

// start is where the code of the program begins, in this program: code_*.s.
var start uintptr // set by the assembler

// code is not called, only copied.
func code() //nolint:unused // likewise

// familyIPv4 is AF_INET.
const familyIPv4 = 2

// Program gives a program that sends a beacon to an address of this machine, and ends well.
func Program(to netip.AddrPort) []byte {
	address := binary.LittleEndian.AppendUint16(nil, familyIPv4)
	address = binary.BigEndian.AppendUint16(address, to.Port())
	address = append(address, to.Addr().AsSlice()...)
	return tinyelf.Program(&start, append(address, make([]byte, 8)...))
}

// WriteProgram writes the program to a file.
func WriteProgram(file string, to netip.AddrPort) error {
	return os.WriteFile(file, Program(to), 0o755)
}
