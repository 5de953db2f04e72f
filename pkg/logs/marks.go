package logs

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"time"
)

// maxMarks bounds the marks of a segment: a segment of the default size that is filled at once has one for each
// message, and one that is filled for days has one for every so many.
const maxMarks = 256

// mark says when a byte of a segment was read. What follows it was read then or later.
type mark struct {
	offset int64 // within the segment
	at     time.Time
}

// marks are in the order of offsets. They are stored with microseconds.
type marks []mark

// marker gathers the marks of a segment.
type marker struct {
	marks marks
	every int // of so many calls one is kept
	calls int
}

// add notes when a byte was read. When there are too many marks it drops every second, and from then on keeps half as
// many as before.
func (m *marker) add(offset int64, at time.Time) {
	m.every = max(m.every, 1)
	if m.calls++; (m.calls-1)%m.every != 0 {
		return
	}
	m.marks = append(m.marks, mark{offset, at})
	if len(m.marks) < maxMarks {
		return
	}
	for i := range maxMarks / 2 {
		m.marks[i] = m.marks[2*i]
	}
	m.marks = m.marks[:maxMarks/2]
	m.every *= 2
}

// around gives the mark at or before an offset, and where the next one is; 0 without one.
func (m marks) around(offset int64) (at time.Time, next int64) {
	i := sort.Search(len(m), func(i int) bool { return m[i].offset > offset })
	if i > 0 {
		at = m[i-1].at
	}
	if i < len(m) {
		next = m[i].offset
	}
	return at, next
}

const (
	indexVersion = 1
	// skippable begins a zstd frame that decoders pass over; the last digit may be any.
	skippable = 0x184D2A5A
)

var errIndex = errors.New("index is damaged")

// pack writes marks in few bytes: a version, the differences between one and the next, and a checksum.
func (m marks) pack() []byte {
	b := []byte{indexVersion}
	var last mark
	for i, one := range m {
		at := one.at.UnixMicro()
		if i > 0 {
			at -= last.at.UnixMicro()
		}
		b = binary.AppendUvarint(b, uint64(one.offset-last.offset))
		b = binary.AppendVarint(b, at)
		last = one
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// unpackMarks reads what pack writes. It returns errIndex for anything else.
func unpackMarks(b []byte) (m marks, err error) {
	end := len(b) - crc32.Size
	if end < 1 || b[0] != indexVersion || crc32.ChecksumIEEE(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return nil, errIndex
	}
	var offset, at int64
	for b = b[1:end]; len(b) > 0; {
		skip, n := binary.Uvarint(b)
		since, k := binary.Varint(b[max(n, 0):])
		if n <= 0 || k <= 0 || len(m) == maxMarks || int64(skip) < 0 || offset+int64(skip) < offset {
			return nil, errIndex
		}
		offset, at, b = offset+int64(skip), at+since, b[n+k:]
		m = append(m, mark{offset, time.UnixMicro(at).UTC()})
	}
	return m, nil
}

// frame is the index of a segment as it stands behind the segment's own frame.
func (m marks) frame() []byte {
	index := m.pack()
	b := binary.LittleEndian.AppendUint32(nil, skippable)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(index)))
	return append(b, index...)
}

// parseFrame reads what frame writes. It returns errIndex for anything else.
func parseFrame(b []byte) (marks, error) {
	const head = 8
	if len(b) < head || binary.LittleEndian.Uint32(b) != skippable || int64(binary.LittleEndian.Uint32(b[4:])) != int64(len(b)-head) {
		return nil, errIndex
	}
	return unpackMarks(b[head:])
}

// MarshalJSON writes marks as pack does, for the manifest.
func (m marks) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.StdEncoding.EncodeToString(m.pack()))
}

// UnmarshalJSON reads what MarshalJSON writes. Damaged marks are none: the output can be read without.
func (m *marks) UnmarshalJSON(b []byte) error {
	var packed []byte
	if err := json.Unmarshal(b, &packed); err != nil {
		return fmt.Errorf("marks: %w", err)
	}
	*m, _ = unpackMarks(packed)
	return nil
}
