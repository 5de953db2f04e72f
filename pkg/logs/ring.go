package logs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ring holds the last bytes of a stream in a file without a name, so that memory does not grow with the limit. It is
// gone with the process.
type ring struct {
	dir    string
	most   int64   // how much it may hold
	budget *budget // of which that is taken

	file  *os.File
	size  int64 // what it holds at most: it grows to most, or to where the budget or the disk ends
	fixed bool  // it grows no more
	small bool  // because the disk takes no more
	taken int64 // bytes that were written to it
	err   error // of the file, whose content is not known from then on

	times []mark // when bytes were read, by their number; oldest first
}

const (
	ringTimes = 128      // how many times a ring knows, at most
	ringApart = 64 << 10 // how many bytes lie between them, at least
)

// write takes all of p, over the oldest.
func (r *ring) write(p []byte, at time.Time) {
	if !r.fixed {
		n := r.grow(p, at)
		p = p[n:]
	}
	if len(p) > 0 {
		r.turn(p, at)
	}
}

// grow takes as much of p as the ring can still be made larger by.
func (r *ring) grow(p []byte, at time.Time) int64 {
	want := min(int64(len(p)), r.most-r.size)
	n := r.budget.take(want)
	wrote := int64(0)
	if n > 0 {
		r.note(at)
		wrote = r.put(p[:n], r.size)
		r.budget.left.Add(n - wrote)
	}
	r.size += wrote
	r.taken += wrote
	r.fixed, r.small = wrote < int64(len(p)), wrote < n
	r.err = nil // what did not fit is no loss of what did
	return wrote
}

// turn writes over the oldest bytes.
func (r *ring) turn(p []byte, at time.Time) {
	r.taken += int64(len(p))
	if r.err != nil || r.size == 0 {
		return
	}
	if skip := int64(len(p)) - r.size; skip > 0 {
		p = p[skip:]
	}
	r.taken -= int64(len(p))
	for len(p) > 0 {
		r.note(at)
		place := r.taken % r.size
		n := min(int64(len(p)), r.size-place)
		r.put(p[:n], place)
		r.taken += n
		p = p[n:]
	}
}

// put writes to the file, and tells how much it took.
func (r *ring) put(p []byte, at int64) int64 {
	if r.file == nil && r.err == nil {
		r.file, r.err = unnamed(r.dir)
	}
	if r.err != nil {
		return 0
	}
	n, err := r.file.WriteAt(p, at)
	r.err = err
	return int64(n)
}

// unnamed makes a file that nobody else finds.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "log-*")
	if err != nil {
		return nil, fmt.Errorf("end of output: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("end of output: %w", err), f.Close())
	}
	return f, nil
}

// note remembers when the byte that comes next was read, unless it did so a little before.
func (r *ring) note(at time.Time) {
	apart := max(r.most/ringTimes, ringApart)
	if n := len(r.times); n > 0 && r.taken-r.times[n-1].offset < apart {
		return
	}
	if len(r.times) > ringTimes {
		r.times = append(r.times[:0], r.times[1:]...)
	}
	r.times = append(r.times, mark{r.taken, at})
}

// held is how much it holds.
func (r *ring) held() int64 {
	if r == nil || r.err != nil {
		return 0
	}
	return min(r.size, r.taken)
}

// whole tells whether it is as large as the limits let it be.
func (r *ring) whole() bool { return r.err == nil && r.fixed && !r.small }

// lost is how much it was given and does not hold.
func (r *ring) lost() int64 {
	if r == nil {
		return 0
	}
	return r.taken - r.held()
}

// read gives what stands at a place of what is held, and when it was read.
func (r *ring) read(p []byte, at int64) ([]byte, time.Time, error) {
	number := r.taken - r.held() + at
	when, _ := marks(r.times).around(number)
	place := number % r.size
	n := min(int64(len(p)), r.held()-at, r.size-place)
	_, err := r.file.ReadAt(p[:n], place)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, when, fmt.Errorf("end of output: %w", err)
	}
	return p[:n], when, nil
}

func (r *ring) close() {
	if r != nil && r.file != nil {
		_ = r.file.Close() // it has no name, and nothing of it is wanted any more
	}
}
