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
	// ErrUnused is returned when a spare ended without having read any of its input: what it was given, nothing has
	// seen.
	ErrUnused = errors.New("the program ended before it read its input")
	// errUsed is returned when a spare is used a second time.
	errUsed = errors.New("the program has been given its input already")
)

// Spare is a program that was started before there is anything for it to do. It waits for its input, which comes at
// most once, and what it writes before waits in its pipes for whoever is to have its output.
type Spare struct {
	r     *run
	ready chan struct{}
	over  chan struct{} // closed when nobody reads from the pipe of ready any more
	taken atomic.Bool   // by Run or Discard
}

// Work is what a spare is given to do. Its times count from then on.
type Work struct {
	Stdin   []byte
	Stdout  io.Writer
	Stderr  io.Writer
	Timeout time.Duration   // 0: none
	Grace   time.Duration   // between TERM and KILL
	Kill    <-chan struct{} // closed when the program must end at once, without a grace; may be nil
	Given   func()          // told when the program has its input; nil: nobody is
}

// Start starts a program as Run does, but leaves its standard input open. What Work has is not taken from the Spec. The
// program says on file descriptor 3 that it waits, by anything that it writes there. The spare is to be used or
// discarded.
func (l *Launcher) Start(s Spec) (*Spare, error) {
	r, err := l.begin(s, openSparePipes)
	if err != nil {
		return nil, err
	}
	spare := &Spare{r: r, ready: make(chan struct{}), over: make(chan struct{})}
	go spare.listen()
	return spare, nil
}

// listen waits until the program says that it waits.
func (s *Spare) listen() {
	defer close(s.over)
	file := s.r.pipes.spare.ready
	if n, _ := file.Read(make([]byte, 1)); n > 0 {
		close(s.ready)
	}
	_ = file.Close() // it was only read
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
// error is ErrUnused where the program came to nothing by itself before it had read any of its input.
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
	unused := r.pipes.spare.unread() && !r.TimedOut && !r.Canceled
	s.stop()
	if unused {
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

// stop gives up what only a spare has.
func (s *Spare) stop() {
	_ = s.r.pipes.spare.ready.SetReadDeadline(time.Unix(1, 0)) // it may be closed already
	<-s.over
	s.r.pipes.spare.close()
}
