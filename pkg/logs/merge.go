package logs

import (
	"context"
	"fmt"
	"iter"
	"regexp"
	"sync"
	"time"
)

// MergeRequest says which part of a log to read, its streams in the order in which they were written.
type MergeRequest struct {
	Execution string
	Streams   []string // empty: all
	From      Position // the first byte wanted of each
	Tail      int      // the last lines of all together; 0: all
	Since     time.Time
	Grep      *regexp.Regexp // of the lines that are left the matching ones; nil: all
	Follow    bool
	Beat      time.Duration // give an empty piece first of all, and when there was none for so long; 0: never

	Ended func(context.Context) (bool, error) // as of Request
}

// Piece is a chunk of one of the streams of a log: whole lines, as far as they are known to be whole.
type Piece struct {
	Stream string
	Chunk
	Behind Position // from which another request goes on behind the piece
	Last   bool     // nothing else is at hand
}

// mergePatience is how long what came of one stream waits for another one that is silent: they come on ways of
// their own, and what was written first may come second.
const mergePatience = 20 * time.Millisecond

// Merge gives streams of a log as one: each in its order, every byte once, and by time among each other. Of what is
// stored the order is as exact as the times that are stored with it. Of what is being written it is that of what is
// at hand: nothing waits for what may come of another stream for longer than a moment. Lines are not cut, unless they
// are long or their end is long in coming. It ends as Read does.
func (s *Store) Merge(ctx context.Context, r MergeRequest) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		r, err := s.begin(ctx, r)
		if err != nil {
			yield(Piece{}, err)
			return
		}
		s.merge(ctx, r, 0, yield)
	}
}

// begin resolves which streams are meant, and where the last lines begin.
func (s *Store) begin(ctx context.Context, r MergeRequest) (MergeRequest, error) {
	if len(r.Streams) == 0 {
		r.Streams = Names()
	}
	if len(r.Streams) > len(Names()) || r.Tail < 0 || len(r.Streams) == 2 && r.Streams[0] == r.Streams[1] {
		return r, fmt.Errorf("tail %d of streams %.100q: %w", r.Tail, r.Streams, ErrBadRequest)
	}
	if err := s.beginSince(ctx, &r); err != nil {
		return r, err
	}
	if r.Tail > 0 {
		start, err := s.tailOf(ctx, r)
		if err != nil {
			return r, err
		}
		r.From, r.Tail = start, 0
	}
	return r, nil
}

// beginSince resolves a time into where it is in each stream: whoever goes on from there needs no time any more.
func (s *Store) beginSince(ctx context.Context, r *MergeRequest) error {
	if r.Since.IsZero() {
		return nil
	}
	for _, stream := range r.Streams {
		e, err := s.Extent(ctx, Request{Execution: r.Execution, Stream: stream, Offset: r.From.Of(stream), Since: r.Since, Ended: r.Ended})
		if err != nil {
			return err
		}
		*r.From.of(stream) = e.Start
	}
	r.Since = time.Time{}
	return nil
}

// merge gives the pieces of a request without Tail; tail is that of each stream.
func (s *Store) merge(ctx context.Context, r MergeRequest, tail int, yield func(Piece, error) bool) {
	ctx, cancel := context.WithCancel(ctx)
	var feeders sync.WaitGroup
	defer func() {
		cancel()
		feeders.Wait()
	}()
	m := &merger{req: r, behind: r.From, yield: yield}
	for i, stream := range r.Streams {
		src := &source{stream: stream, events: make(chan event), whole: r.Grep != nil, match: matcher{re: r.Grep}}
		m.sources[i] = src
		part := Request{
			Execution: r.Execution, Stream: stream, Offset: r.From.Of(stream), Tail: tail, Timed: true, Follow: r.Follow, Ended: r.Ended,
		}
		feeders.Go(func() { s.feed(ctx, part, src.events) })
	}
	m.run(ctx)
}

// event is what a source has to say: one of a chunk, that it waits for more, and its end.
type event struct {
	chunk Chunk
	idle  bool
	end   bool
	err   error
}

// feed reads a stream for a merger.
func (s *Store) feed(ctx context.Context, r Request, to chan<- event) {
	send := func(e event) bool {
		select {
		case to <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for chunk, err := range s.read(ctx, r, func() bool { return send(event{idle: true}) }) {
		if !send(event{chunk: chunk, err: err}) || err != nil {
			return
		}
	}
	send(event{end: true})
}

// merger merges streams. It belongs to one goroutine.
type merger struct {
	req     MergeRequest
	sources [2]*source // the second may be nil
	behind  Position
	spoke   time.Time // when a piece was given
	yield   func(Piece, error) bool
	stopped bool // by an error, or because nothing more is wanted
}

func (m *merger) run(ctx context.Context) {
	m.stopped = m.req.Beat > 0 && !m.say(Piece{})
	for !m.stopped {
		src, at := m.choose(time.Now())
		switch {
		case src != nil:
			m.give(src)
		case !m.await(ctx, at):
			return
		}
	}
}

// choose gives the source whose turn it is, or until when to wait for more; zero: for as long as it takes.
func (m *merger) choose(now time.Time) (*source, time.Time) {
	var first, broken *source
	for _, src := range m.sources {
		switch {
		case src == nil:
		case src.ready():
			first = earlier(first, src)
		case src.held() && !src.whole:
			broken = earlier(broken, src)
		}
	}
	if first != nil && !m.before(first) {
		return first, time.Time{}
	}
	first = earlier(first, broken)
	if first == nil || m.busy() {
		return nil, time.Time{}
	}
	if due := m.due(); now.Before(due) {
		return nil, due
	}
	return first, time.Time{}
}

// before tells whether another stream may have something that was written before what a source has.
func (m *merger) before(of *source) bool {
	for _, src := range m.sources {
		if src == nil || src == of || src.ended || src.ready() {
			continue
		}
		if !src.held() || !src.at().After(of.at()) {
			return true
		}
	}
	return false
}

// busy tells whether a stream that has nothing to give is being read: there is more of it.
func (m *merger) busy() bool {
	for _, src := range m.sources {
		if src != nil && !src.ended && !src.idle && !src.ready() {
			return true
		}
	}
	return false
}

// due is until when what is held waits; zero: it must not, because there is too much of it.
func (m *merger) due() (due time.Time) {
	for _, src := range m.sources {
		if src == nil || !src.held() || src.whole && !src.ready() {
			continue
		}
		if src.full() {
			return time.Time{}
		}
		if at := src.parts[0].came.Add(mergePatience); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// give gives what is due of a source.
func (m *merger) give(src *source) {
	chunk := src.take()
	for _, part := range src.match.filter(chunk) {
		*m.behind.of(src.stream) = part.Next()
		if m.stopped = m.stopped || !m.say(Piece{Stream: src.stream, Chunk: part}); m.stopped {
			return
		}
	}
	*m.behind.of(src.stream) = chunk.Next()
	m.beat()
}

func (m *merger) say(p Piece) bool {
	m.spoke = time.Now()
	p.Behind, p.Last = m.behind, !m.atHand()
	return m.yield(p, nil)
}

// atHand tells whether another piece follows at once.
func (m *merger) atHand() bool {
	for _, src := range m.sources {
		if src != nil && src.ready() {
			return true
		}
	}
	return false
}

// beat gives an empty piece when there was none for long.
func (m *merger) beat() {
	if m.req.Beat > 0 && time.Since(m.spoke) >= m.req.Beat && !m.say(Piece{}) {
		m.stopped = true
	}
}

// await takes what a source says. It returns false when there is nothing more to come.
func (m *merger) await(ctx context.Context, until time.Time) bool {
	var from [2]<-chan event
	open := false
	for i, src := range m.sources {
		if src != nil && !src.ended {
			open = true
			if !src.full() {
				from[i] = src.events
			}
		}
	}
	if !open {
		return false
	}
	timer := m.timer(until)
	defer timer.Stop()
	select {
	case e := <-from[0]:
		m.hear(m.sources[0], e)
	case e := <-from[1]:
		m.hear(m.sources[1], e)
	case <-timer.C:
		m.beat()
	case <-ctx.Done():
		m.yield(Piece{}, context.Cause(ctx))
		return false
	}
	return true
}

func (m *merger) timer(until time.Time) *time.Timer {
	wait := time.Hour
	if !until.IsZero() {
		wait = time.Until(until)
	}
	if m.req.Beat > 0 {
		wait = min(wait, max(m.req.Beat-time.Since(m.spoke), 0))
	}
	return time.NewTimer(wait)
}

func (m *merger) hear(src *source, e event) {
	switch {
	case e.err != nil:
		m.stopped = true
		m.yield(Piece{}, e.err)
	case e.end:
		src.ended = true
	case e.idle:
		src.idle = true
	default:
		src.idle = false
		src.add(e.chunk, time.Now())
	}
}
