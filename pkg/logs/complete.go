package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/failpoint"
)

// cutMark ends a stream of which more may have been written than could be found.
const cutMark = "[attune: the log may end too early: its runner was lost before all of it was stored]\n"

// completeTries is how often Complete begins again when somebody else stores parts of the same log.
const completeTries = 3

// StoredLog is what a log was found to be once nothing is added to it any more.
type StoredLog struct {
	Bytes      int64 // of both streams, markers included
	Stored     int64 // what it takes in the object store
	Incomplete bool  // some of it may be missing for good
}

// Complete makes the log of an ended execution complete whose runner has died or given up: what LOGS holds behind what
// is stored is stored too, a stream that was not ended by its runner gets a line that says so, and the manifest is
// written. A log that is complete is left as it is, and one without output stays without. It may be called by
// several at once and again after a death at any point: every part is stored once, by whoever is first.
func (s *Store) Complete(ctx context.Context, id string) (StoredLog, error) {
	var err error
	for range completeTries {
		var m Manifest
		m, err = s.Manifest(ctx, id)
		if err == nil {
			return m.log(), nil
		}
		if !errors.Is(err, ErrNoManifest) {
			return StoredLog{}, err
		}
		if removed, err := s.removed(ctx, id); removed || err != nil {
			return StoredLog{Incomplete: removed}, err
		}
		m, err = s.rest(ctx, id)
		if err == nil && m.Bytes() == 0 {
			return StoredLog{}, nil
		}
		if err == nil {
			failpoint.Hit(failpoint.LogsUncompleted)
			err = s.createManifest(ctx, m)
		}
		if err == nil {
			return m.log(), nil
		}
		if !errors.Is(err, errTaken) {
			break
		}
	}
	return StoredLog{}, fmt.Errorf("complete log of execution %s: %w", id, err)
}

// removed tells whether the log was complete and has been removed since.
func (s *Store) removed(ctx context.Context, id string) (bool, error) {
	info, err := s.objects.GetInfo(ctx, manifestName(id), jetstream.GetObjectInfoShowDeleted())
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("log of execution %s: look for manifest: %w", id, err)
	}
	return info.Deleted, nil
}

// rest stores what is only on the bus and gives the manifest of all.
func (s *Store) rest(ctx context.Context, id string) (Manifest, error) {
	w, err := s.NewWriter(id, Source{}, Limits{}) // it publishes nothing
	if err != nil {
		return Manifest{}, err
	}
	stop := context.AfterFunc(ctx, func() { w.giveUp(context.Cause(ctx)) })
	defer stop()
	defer w.giveUp(nil)
	m := Manifest{Version: manifestVersion, Execution: id, Complete: true, Encoding: encoding, Streams: map[string]StreamManifest{}}
	for _, one := range []*stream{w.stdout, w.stderr} {
		cut, err := one.salvage(ctx)
		if err != nil {
			return Manifest{}, err
		}
		m.Streams[one.name], m.Cut = one.stored, m.Cut || cut
	}
	return m, nil
}

// salvage stores what is left of a stream and tells whether more may have been written.
func (s *stream) salvage(ctx context.Context) (cut bool, err error) {
	f, err := s.lookBackAt(ctx)
	if err != nil {
		return false, err
	}
	keep := newSegmenter(s)
	defer keep.wait()
	offset, err := keep.resume()
	if err != nil {
		return false, err
	}
	if offset > 0 && f.end == "" {
		f.end = endCut
		if err := keep.add(f.mark(), f.last, notPublished); err != nil {
			return false, err
		}
	}
	keep.current.End = f.end
	if s.stored, err = keep.finish(); err != nil {
		return false, err
	}
	s.stored.Written = offset
	return f.end == endCut, nil
}

// found is how a stream that nobody writes any more ends.
type found struct {
	end    string // what its end is; "" when it was not ended
	last   time.Time
	inLine bool // its last byte is no newline, or is not known
}

func (f found) mark() []byte {
	if f.inLine {
		return []byte("\n" + cutMark)
	}
	return []byte(cutMark)
}

// lookBackAt finds what there is of a stream, and how it ends.
func (s *stream) lookBackAt(ctx context.Context) (found, error) {
	if err := s.lookBack(ctx); err != nil {
		return found{}, err
	}
	f := found{last: s.base.Last, inLine: true}
	if n := len(s.base.Segments); n > 0 {
		switch end := s.base.Segments[n-1].End; {
		case end == endOfLog || end == endCut:
			s.tail = nil // a runner that comes back too late is not heard
			f.end = end
			return f, nil
		case len(s.tail) == 0:
			f.end = end
		}
	}
	offset := s.base.Bytes
	if n := len(s.tail); n > 0 {
		offset, f.last = s.tail[n-1].Next(), s.tail[n-1].Time
	}
	c := &cursor{store: s.w.store, subject: s.subject}
	p, err := c.liveLast(ctx)
	switch {
	case errors.Is(err, errNothingYet):
		return f, nil
	case err != nil:
		return found{}, err
	case p.Next() == offset:
		f.inLine = len(p.Data) > 0 && p.Data[len(p.Data)-1] != '\n'
		if p.last {
			f.end = endOfLog
		}
	}
	return f, nil
}

// createManifest stores a manifest unless there is one.
func (s *Store) createManifest(ctx context.Context, m Manifest) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return s.create(ctx, jetstream.ObjectMeta{Name: manifestName(m.Execution)}, data)
}

// Bytes counts what is stored of all streams.
func (m Manifest) Bytes() (n int64) {
	for _, one := range m.Streams {
		n += one.Bytes
	}
	return n
}

// log is what a complete manifest says of the log.
func (m Manifest) log() StoredLog {
	l := StoredLog{Bytes: m.Bytes(), Incomplete: m.Cut}
	for _, one := range m.Streams {
		l.Stored += one.inObjects()
	}
	if data, err := json.Marshal(m); err == nil {
		l.Stored += int64(len(data))
	}
	return l
}
