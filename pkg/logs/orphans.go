package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// maxSubjects bounds the bucket that is looked through for orphans: each object has two subjects, and a hundred bytes
// are held of each meanwhile.
const maxSubjects = 1_000_000

// ErrTooManyObjects is returned for a bucket that is too large to be looked through.
var ErrTooManyObjects = errors.New("too many objects to look through")

// RemoveOrphans removes chunks that belong to no object: whoever was storing one has died before its description was
// stored. Those that are younger than an age are left alone, for they may be under way. At most so many objects'
// chunks are removed. It reads the name of every chunk and the description of every object.
func (s *Store) RemoveOrphans(ctx context.Context, age time.Duration, most int) (removed int, err error) {
	info, err := s.bucket.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for orphaned chunks: %w", err)
	}
	if info.State.NumSubjects > maxSubjects {
		return 0, fmt.Errorf("look for orphaned chunks: %d subjects, at most %d: %w", info.State.NumSubjects, maxSubjects, ErrTooManyObjects)
	}
	info, err = s.bucket.Info(ctx, jetstream.WithSubjectFilter(chunkSubject("*")))
	if err != nil {
		return 0, fmt.Errorf("list chunks: %w", err)
	}
	orphans := info.State.Subjects
	if len(orphans) == 0 {
		return 0, nil
	}
	err = s.eachObject(ctx, func(o object) { delete(orphans, chunkSubject(o.NUID)) })
	if err != nil {
		return 0, fmt.Errorf("list objects: %w", err)
	}
	for subject := range orphans {
		if removed == most {
			break
		}
		gone, err := s.removeOrphan(ctx, subject, age)
		if err != nil {
			return removed, fmt.Errorf("remove orphaned chunks: %w", err)
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

func (s *Store) removeOrphan(ctx context.Context, subject string, age time.Duration) (bool, error) {
	m, err := s.bucket.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil || time.Since(m.Time) < age {
		return false, err
	}
	return true, deleteAll(ctx, s.bucket, subject)
}

// eachObject shows every object of the bucket.
func (s *Store) eachObject(ctx context.Context, see func(object)) error {
	all, err := s.bucket.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"$O." + streams.ObjectsLogs + ".M.>"}})
	if err != nil {
		return err
	}
	pending := all.CachedInfo().NumPending
	if pending == 0 {
		return nil
	}
	messages, err := all.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for pending > 0 {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		pending = meta.NumPending
		var o object
		if err := json.Unmarshal(m.Data(), &o); err == nil { // what is no object has no chunks
			see(o)
		}
	}
	return nil
}
