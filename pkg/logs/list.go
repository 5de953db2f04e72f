package logs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// Listed is a log of which something is stored.
type Listed struct {
	ID    string
	At    time.Time // when the first of what was found of it was stored
	Bytes int64     // of what was found
}

// listed is how many objects are asked for at once.
const listed = 500

// List lists the logs that something was stored of before that time, oldest first. One whose objects are far from
// each other in the bucket comes several times.
func (s *Store) List(ctx context.Context, before time.Time) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		var current Listed
		for o, err := range s.objectsBefore(ctx, before) {
			if err != nil {
				yield(Listed{}, err)
				return
			}
			if o.ID == current.ID {
				current.Bytes += o.Bytes
				continue
			}
			if current.ID != "" && !yield(current, nil) {
				return
			}
			current = o
		}
		if current.ID != "" {
			yield(current, nil)
		}
	}
}

// objectsBefore lists single objects by the log that they are of.
func (s *Store) objectsBefore(ctx context.Context, before time.Time) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		all, err := s.bucket.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"$O." + streams.ObjectsLogs + ".M.>"}})
		if err != nil {
			yield(Listed{}, fmt.Errorf("list logs: %w", err))
			return
		}
		for {
			found, err := all.FetchNoWait(listed)
			if err != nil {
				yield(Listed{}, fmt.Errorf("list logs: %w", err))
				return
			}
			n := 0
			for m := range found.Messages() {
				n++
				o, at, ok := parseListed(m)
				if !ok {
					continue
				}
				if !at.Before(before) || !yield(o, nil) {
					return
				}
			}
			if err := found.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
				yield(Listed{}, fmt.Errorf("list logs: %w", err))
				return
			}
			if n == 0 {
				return
			}
		}
	}
}

func parseListed(m jetstream.Msg) (o Listed, at time.Time, ok bool) {
	meta, err := m.Metadata()
	if err != nil {
		return o, at, false
	}
	encoded := strings.TrimPrefix(m.Subject(), "$O."+streams.ObjectsLogs+".M.")
	name, err := base64.URLEncoding.DecodeString(encoded)
	if err != nil {
		return o, at, false
	}
	var d object
	if err := json.Unmarshal(m.Data(), &d); err != nil {
		return o, at, false
	}
	id, _, ok := strings.Cut(string(name), "/")
	return Listed{ID: id, At: meta.Timestamp, Bytes: int64(d.Size)}, meta.Timestamp, ok
}

// BucketBytes is what all logs take in the store.
func (s *Store) BucketBytes(ctx context.Context) (int64, error) {
	info, err := s.bucket.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("size of the store of logs: %w", err)
	}
	return int64(info.State.Bytes), nil
}
