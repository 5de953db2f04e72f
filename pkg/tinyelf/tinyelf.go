// Package tinyelf makes a whole program of a few machine instructions that this program holds.
//
// It guarantees that the program is one page of memory with a stack, needs no library and no interpreter, and that its
// data stands at a fixed address after its code. So it starts as fast as anything can that the kernel executes.
package tinyelf

import (
	"encoding/binary"
	"unsafe"
)

// Sizes of an ELF file for 64 bits, and where the program is put in memory.
const (
	header  = 64
	program = 56
	at      = 1 << 16
	code    = header + program
)

// CodeBytes is how much of the code is taken, more than it has: what follows it here is never reached there.
const CodeBytes = 512

// DataAt is the address of the data. Assembler code names it as a number.
const DataAt = at + code + CodeBytes

// Program makes a program of code of this program, and of data that it only reads. The address of the code is what the
// assembler put into start.
func Program(start *uintptr, data []byte) []byte {
	text := unsafe.Slice(*(**byte)(unsafe.Pointer(start)), CodeBytes) // the text does not move
	size := uint64(code + CodeBytes + len(data))
	le := binary.LittleEndian
	b := append([]byte("\x7fELF"), 2, 1, 1, 0)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint16(b, 2) // an executable
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, at+code) // where it begins
	b = le.AppendUint64(b, header)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, 0)
	for _, n := range []uint16{header, program, 1, 0, 0, 0} {
		b = le.AppendUint16(b, n)
	}
	b = le.AppendUint32(b, 1) // to be loaded
	b = le.AppendUint32(b, 5) // read and execute
	for _, n := range []uint64{0, at, at, size, size, 1 << 12} {
		b = le.AppendUint64(b, n)
	}
	return append(append(b, text...), data...)
}
