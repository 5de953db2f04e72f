package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

var (
	// ErrUnused is returned when a spare ended by itself without having said that it read its input: whatever it is to
	// do, it has not begun.
	ErrUnused = errors.New("the program ended before it had read its input")
	// errUsed is returned when a spare or a held program is used a second time.
	errUsed = errors.New("the program was used already")
)

// Spare is a program that was started before there is anything for it to do. It waits for its input, which comes at
// most once, and what it writes before waits in its pipes for whoever is to have its output.
type Spare struct {
	r     *run
	ready chan struct{}
	over  chan struct{} // closed when nobody listens any more to what the program says
	read  bool          // the program has said that it read its input; to be looked at after over
	taken atomic.Bool   // by Run or Discard
}

// Work is what a spare or a held program is given to do. Its times count from then on.
type Work struct {
	Stdin   []byte // of a spare
	Stdout  io.Writer
	Stderr  io.Writer
	Timeout time.Duration   // 0: none
	Grace   time.Duration   // between TERM and KILL
	Kill    <-chan struct{} // closed when the program must end at once, without a grace; may be nil
	Given   func()          // told when the program has its input, or was let go; nil: nobody is
}

// Start starts a program as Run does, but leaves its standard input open. What Work has is not taken from the Spec. The
// program writes a byte to file descriptor 3 when it waits, and another when it has read its input, before it does
// anything with it: of one that has not written the second it is taken for certain that it did nothing. The spare is to
// be used or discarded.
func (l *Launcher) Start(s Spec) (*Spare, error) {
	r, err := l.begin(&run{spec: s}, openSparePipes)
	if err != nil {
		return nil, err
	}
	spare := &Spare{r: r, ready: make(chan struct{}), over: make(chan struct{})}
	go spare.listen()
	return spare, nil
}

// listen hears how far the program is.
func (s *Spare) listen() {
	defer close(s.over)
	file, said := s.r.pipes.spare.says, make([]byte, 1)
	defer func() { _ = file.Close() }() // it was only read
	if n, _ := file.Read(said); n == 0 {
		return
	}
	close(s.ready)
	n, _ := file.Read(said)
	s.read = n > 0
}

// PID is the number of the first process.
func (s *Spare) PID() int { return s.r.pid }

// Ready is closed when the program waits for its input.
func (s *Spare) Ready() <-chan struct{} { return s.ready }

// Gone is closed when the first process has ended.
func (s *Spare) Gone() <-chan struct{} { return s.r.exited }

// Memory is what the first process has in memory, in bytes; 0 when it has ended.
func (s *Spare) Memory() int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.r.pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// Run gives the program its input and returns when its whole tree of processes has ended, as Launcher.Run does. The
// error is ErrUnused where the program ended by itself before it had read its input.
func (s *Spare) Run(ctx context.Context, w Work) (Result, error) {
	if s.taken.Swap(true) {
		return Result{}, errUsed
	}
	r := s.r
	defer r.leave()
	if isClosed(r.exited) {
		s.bury()
		return Result{}, ErrUnused
	}
	r.spec.Timeout, r.spec.Grace, r.spec.Kill = w.Timeout, w.Grace, w.Kill
	r.Started = time.Now()
	r.pipes.give(w)
	if w.Given != nil {
		w.Given()
	}
	r.await(ctx)
	r.finish()
	s.stop()
	if !s.read && !r.TimedOut && !r.Canceled {
		return Result{}, ErrUnused
	}
	return r.Result, nil
}

// Discard ends the program and everything that it started, at once, and returns when all of it has gone.
func (s *Spare) Discard() {
	if s.taken.Swap(true) {
		return
	}
	defer s.r.leave()
	s.r.killTree()
	<-s.r.exited
	s.bury()
}

// bury takes away what is left of a program that has ended without having been used.
func (s *Spare) bury() {
	s.r.Canceled = true // or what it started might be waited for
	s.r.pipes.give(Work{})
	s.r.finish()
	s.stop()
	if s.r.LeftBehind > 0 {
		s.r.l.log.Warn("processes of a spare could not be ended", slog.Int("count", s.r.LeftBehind), slog.String("path", s.r.spec.Path))
	}
}

// stop ends listening. Where nothing is left of the program it has said everything.
func (s *Spare) stop() {
	if !within(s.over, s.r.spec.WaitDelay) {
		_ = s.r.pipes.spare.says.SetReadDeadline(time.Unix(1, 0)) // it may be closed already
		<-s.over
	}
}
