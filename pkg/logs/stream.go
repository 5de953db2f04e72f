package logs

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

const (
	// chunkBytes is the most that one message of LOGS carries.
	chunkBytes = 256 << 10
	// maxPending bounds what is gathered while the store takes the chunks before.
	maxPending = 2 * chunkBytes
)

// stream takes one output stream of a process. Write gathers bytes, and a goroutine, started by the first of
// them, publishes and stores what was gathered.
type stream struct {
	w       *Writer
	name    string
	subject string
	base    StreamManifest // what attempts before have stored
	tail    []Chunk        // what they have published behind that

	ready  chan struct{} // something was gathered
	full   chan struct{} // a whole chunk was gathered
	room   chan struct{} // what was gathered has been taken away
	closed chan struct{} // closed by end
	done   chan struct{} // closed when the goroutine has returned

	writing sync.Mutex // held by Write: one at a time, so that offsets are in order

	mu       sync.Mutex // guards the fields below
	started  bool
	ended    bool
	stalled  bool // the store let a Write wait for all its patience and has taken nothing since
	pending  []byte
	since    time.Time // when the first byte of pending was written
	inLine   bool      // the last byte was no newline
	kept     int64     // bytes of the process that were or will be kept, but for those in last
	over     int64     // bytes beyond the limit
	beyond   bool      // the beginning that is kept is complete
	refused  bool      // both streams together are at their limit
	last     *ring     // what follows the beginning, where the ends are kept
	skipped  int64     // bytes not kept because the store did not answer
	unmarked int64     // of these, not yet noted in the log

	// Set by the goroutine, read after done.
	stored StreamManifest
	err    error
}

func newStream(w *Writer, name string) (*stream, error) {
	subject, err := subject(w.execution, name)
	if err != nil {
		return nil, err
	}
	return &stream{
		w: w, name: name, subject: subject,
		ready: make(chan struct{}, 1), full: make(chan struct{}, 1), room: make(chan struct{}, 1),
		closed: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

// Write takes all of p, or counts what cannot be kept. It blocks while the store is slow, at most for the
// store's patience.
func (s *stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for n := 0; n < len(p); {
		took, err := s.gather(p[n:])
		n += took
		if err != nil {
			return n, err
		}
		if n < len(p) && !s.awaitRoom() {
			s.skip(len(p) - n)
			break
		}
	}
	return len(p), nil
}

// gather takes as much of p as there is room for, or all of it once the limit is reached.
func (s *stream) gather(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	if !s.beyond && len(s.pending) >= maxPending {
		return 0, nil
	}
	if n := s.admit(len(p)); n > 0 {
		s.stalled = false
		s.noteSkipped()
		s.append(p[:n])
		s.kept += int64(n)
		return n, nil
	}
	s.pass(p)
	return len(p), nil
}

// admit tells how much of the next bytes is kept and has room; 0 from the first on that is beyond what is kept of the
// beginning. Its caller holds mu.
func (s *stream) admit(n int) int {
	if s.beyond {
		return 0
	}
	rest := s.w.limits.beginning() - s.kept
	took := s.w.budget.take(min(int64(n), int64(maxPending-len(s.pending)), rest))
	s.beyond, s.refused = took == 0, took == 0 && rest > 0
	return int(took)
}

// pass takes what is behind the beginning: it is counted, or kept until something newer takes its place. Its caller
// holds mu.
func (s *stream) pass(p []byte) {
	if !s.w.limits.Ends {
		s.over += int64(len(p))
		s.exceed()
		return
	}
	if s.last == nil {
		l := s.w.limits
		s.last = &ring{dir: s.w.store.Dir, most: l.StreamBytes - l.beginning(), budget: &s.w.budget}
	}
	s.last.write(p, time.Now())
	if s.over = s.last.lost(); s.over > 0 && s.last.whole() {
		s.refused = s.last.size < s.last.most
		s.exceed()
	}
}

// exceed says which limit was reached first. Its caller holds mu.
func (s *stream) exceed() {
	e := Excess{Stream: s.name, Limit: s.w.limits.StreamBytes}
	if s.refused {
		e = Excess{Limit: s.w.limits.TotalBytes}
	}
	s.w.exceed(e)
}

// Drop counts bytes that the process wrote and that are not kept, whatever they are, and tells whether it has. Until
// the limit is reached it does nothing, and they must be written.
func (s *stream) Drop(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.beyond || s.w.limits.Ends || s.ended {
		return false
	}
	s.over += int64(n)
	return true
}

// append adds to pending and wakes the goroutine. Its caller holds mu.
func (s *stream) append(p []byte) {
	if !s.started {
		s.started = true
		go s.pump()
	}
	if len(s.pending) == 0 {
		s.since = time.Now()
	}
	s.pending = append(s.pending, p...)
	s.inLine = p[len(p)-1] != '\n'
	signal(s.ready)
	if len(s.pending) >= chunkBytes {
		signal(s.full)
	}
}

// noteSkipped says in the log that bytes are missing in this place. Its caller holds mu.
func (s *stream) noteSkipped() {
	if s.unmarked > 0 {
		s.mark("%s bytes not kept: the log store did not answer", s.unmarked)
		s.unmarked = 0
	}
}

// mark adds a line of our own. Its caller holds mu.
func (s *stream) mark(format string, n int64) {
	line := fmt.Appendf(nil, "[attune: "+format+"]\n", grouped(n))
	if s.inLine {
		line = append([]byte{'\n'}, line...)
	}
	s.append(line)
}

// awaitRoom waits until there is room, and tells whether there is.
func (s *stream) awaitRoom() bool {
	s.mu.Lock()
	stalled := s.stalled
	s.mu.Unlock()
	if stalled {
		return false
	}
	patience := time.NewTimer(s.w.store.Patience)
	defer patience.Stop()
	select {
	case <-s.room:
		return true
	case <-s.closed:
		return false
	case <-patience.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = true
	return false
}

func (s *stream) skip(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipped += int64(n)
	s.unmarked += int64(n)
}

// lose counts what was taken and could not be stored as not kept.
func (s *stream) lose(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, s.kept) // there may be markers in it
	s.kept, s.skipped = s.kept-n, s.skipped+n
}

// end says that nothing more will be written.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	close(s.closed)
	switch {
	case s.started:
	case s.over > 0 || s.last != nil: // nothing of the beginning was kept, which the log says
		s.started = true
		go s.pump()
	default:
		close(s.done)
	}
}

func (s *stream) wait() error {
	<-s.done
	return s.err
}

func (s *stream) summary() StreamSummary {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped := s.over + s.skipped
	return StreamSummary{Written: s.kept + s.last.held() + dropped, Dropped: dropped}
}

// collect waits until a chunk is full or has been gathered for long enough, and gives it. The last one, which
// may be empty, ends with the marks of what is missing.
func (s *stream) collect(spare []byte) (data []byte, since time.Time, last bool) {
	select {
	case <-s.ready:
		flush := time.NewTimer(s.w.store.Flush)
		defer flush.Stop()
		select {
		case <-s.full:
		case <-flush.C:
		case <-s.closed:
		}
	case <-s.closed:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		s.noteSkipped()
		s.noteTruncated()
	}
	data, since, s.pending = s.pending, s.since, spare[:0]
	signal(s.room)
	return data, since, s.ended
}

// noteTruncated ends a log that went over its limit. Its caller holds mu.
func (s *stream) noteTruncated() {
	if s.over > 0 {
		s.mark("truncated, %s bytes not kept", s.over)
	}
}

// noteUnread counts what of the end could not be read back as not kept, and gives the line that says so.
func (s *stream) noteUnread(from int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := s.last.held() - from
	s.kept, s.over = s.kept+from, s.over+lost
	s.last.size = 0
	return fmt.Appendf(nil, "\n[attune: %s bytes not kept: the end of the output could not be read]\n", grouped(lost))
}

// signal leaves a token in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// grouped writes a number as people read it: 1,063,256,064.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
