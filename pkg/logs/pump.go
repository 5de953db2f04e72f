package logs

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/streams"
)

// pump publishes what was gathered and keeps it in segments, one chunk after the other: the order on the bus
// is the order in which the process wrote, also when a publish has to be repeated.
func (s *stream) pump() {
	defer close(s.done)
	keep := newSegmenter(s)
	defer keep.wait()
	offset, err := keep.resume()
	if s.err = err; err != nil {
		s.drain(false)
		return
	}
	for spare := []byte(nil); ; {
		data, since, last := s.collect(spare)
		if s.err = s.pass(keep, offset, data, since, last); s.err != nil {
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

// pass publishes data in chunks, each before it is kept.
func (s *stream) pass(keep *segmenter, offset int64, data []byte, since time.Time, last bool) error {
	for {
		chunk := data[:min(len(data), chunkBytes)]
		data = data[len(chunk):]
		seq, err := s.publish(offset, chunk, since, last && len(data) == 0 && !s.w.suspended)
		if err != nil {
			return err
		}
		if err := keep.add(chunk, since, seq); err != nil {
			return err
		}
		if offset += int64(len(chunk)); len(data) == 0 {
			return nil
		}
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
