package logs

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// pump publishes what was gathered and keeps it in segments, one chunk after the other: the order on the bus
// is the order in which the process wrote, also when a publish has to be repeated.
func (s *stream) pump() {
	defer close(s.done)
	keep := newSegmenter(s)
	defer keep.wait()
	defer func() { s.last.close() }() // it comes later
	offset, err := keep.resume()
	if s.err = err; err != nil {
		s.drain(false)
		return
	}
	for spare := []byte(nil); ; {
		data, since, last := s.collect(spare)
		ends := last && s.last.held() > 0
		if s.err = s.keep(keep, offset, data, since, last && !ends); s.err == nil && ends {
			s.err = s.keepLast(keep, offset+int64(len(data)))
		}
		if s.err != nil {
			s.drain(last)
			return
		}
		if last {
			s.stored, s.err = keep.finish()
			return
		}
		offset += int64(len(data))
		spare = data
	}
}

// keepLast publishes and keeps the end of a long output. What cannot be read back is said to be missing.
func (s *stream) keepLast(keep *segmenter, offset int64) error {
	room := make([]byte, chunkBytes)
	for at := int64(0); at < s.last.held(); {
		data, when, err := s.last.read(room, at)
		if err != nil {
			s.w.store.Logger.ErrorContext(s.w.ctx, "end of output not read", slog.String(logging.ExecutionID, s.w.execution), slog.Any(logging.Error, err))
			return s.keep(keep, offset, s.noteUnread(at), when, true)
		}
		at += int64(len(data))
		if err := s.keep(keep, offset, data, when, at == s.last.held()); err != nil {
			return err
		}
		offset += int64(len(data))
	}
	return nil
}

// keep publishes data in chunks and keeps them. No segment is stored before what is in it is published.
func (s *stream) keep(keep *segmenter, offset int64, data []byte, since time.Time, last bool) error {
	for {
		chunk := data[:min(len(data), chunkBytes)]
		data = data[len(chunk):]
		published := s.publishing(offset, chunk, since, last && len(data) == 0 && !s.w.suspended)
		err := keep.add(chunk, since, published)
		if _, unpublished := published(); err != nil || unpublished != nil { // whatever it is, the chunk is not used any more
			return cmp.Or(err, unpublished)
		}
		if offset += int64(len(chunk)); len(data) == 0 {
			return nil
		}
	}
}

// publishing publishes a chunk; the returned function waits for it and gives its sequence in LOGS.
func (s *stream) publishing(offset int64, chunk []byte, at time.Time, last bool) func() (uint64, error) {
	var seq uint64
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		seq, err = s.publish(offset, chunk, at, last)
	}()
	return func() (uint64, error) {
		<-done
		return seq, err
	}
}

func (s *stream) publish(offset int64, chunk []byte, at time.Time, last bool) (seq uint64, err error) {
	if len(chunk) == 0 && !last {
		return 0, nil
	}
	m := nats.NewMsg(s.subject)
	m.Data = chunk
	m.Header.Set(streams.HeaderOffset, strconv.FormatInt(offset, 10))
	m.Header.Set(streams.HeaderTime, at.UTC().Format(time.RFC3339Nano))
	if last {
		m.Header.Set(streams.HeaderEnd, "true")
	}
	if of := s.w.source; of.Name != "" {
		m.Header.Set(of.Header, of.Name)
	}
	err = s.w.persist(s.name, func(ctx context.Context) error {
		ack, err := s.w.store.Bus.JS.PublishMsg(ctx, m)
		if err == nil {
			seq = ack.Sequence
		}
		return err
	})
	return seq, err
}

// drain takes what the process goes on writing after the store was given up, so that nobody waits for room.
func (s *stream) drain(last bool) {
	for spare := []byte(nil); !last; {
		spare, _, last = s.collect(spare)
	}
}
