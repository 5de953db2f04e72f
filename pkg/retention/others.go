package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// atLeast is how old a log that nobody knows must be to be removed where space is short.
const atLeast = time.Hour

// others removes logs in the store that nobody knows any more: of executions that history does not have and the bus
// neither, of sensors and of versions of packs that do not exist. They go when they are older than logs are kept, and
// at once while the store is larger than that allows.
func (s *Sweeper) others(ctx context.Context, r *Report, dry bool) error {
	until, err := s.untouched(ctx, *r, dry)
	if err != nil || until.IsZero() {
		return err
	}
	living, err := s.living(ctx)
	if err != nil {
		return err
	}
	var batch []logs.Listed
	flush := func() error {
		dead, err := s.dead(ctx, batch, living)
		batch = batch[:0]
		if err != nil {
			return err
		}
		for _, l := range dead {
			if !dry {
				if err := s.Logs.Remove(ctx, l.ID); err != nil {
					return err
				}
			}
			r.Others.add(Total{Logs: 1, Bytes: l.Bytes, Oldest: l.At, Newest: l.At})
		}
		return nil
	}
	for l, err := range s.Logs.List(ctx, until) {
		if err != nil {
			return err
		}
		if batch = append(batch, l); len(batch) < batchLogs {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return flush()
}

// untouched is the time from which nothing is looked at; zero: nothing is to be removed.
func (s *Sweeper) untouched(ctx context.Context, r Report, dry bool) (until time.Time, err error) {
	p := s.Policies.Logs
	if p.Age > 0 {
		until = time.Now().Add(-max(p.Age, atLeast))
	}
	if p.Bytes == 0 {
		return until, nil
	}
	size, err := s.Logs.BucketBytes(ctx)
	if err != nil {
		return until, err
	}
	if dry {
		size -= r.Removed.Bytes
	}
	if size > p.Bytes {
		until = time.Now().Add(-atLeast)
	}
	return until, nil
}

// living is what logs that are not of executions may belong to.
type living struct {
	logs map[string]bool // ids
}

func (s *Sweeper) living(ctx context.Context) (living, error) {
	l := living{logs: map[string]bool{}}
	err := s.states(ctx, streams.BucketSensors, func(value []byte) {
		var st streams.SensorState
		if json.Unmarshal(value, &st) == nil {
			for _, id := range append(st.Logs, st.Log) {
				l.logs[id] = true
			}
		}
	})
	return l, err
}

// states shows the values of a bucket.
func (s *Sweeper) states(ctx context.Context, bucket string, show func([]byte)) error {
	kv, err := s.Bus.JS.KeyValue(ctx, bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", bucket, err)
	}
	defer func() { _ = w.Stop() }() // it is stopped already when the context has ended
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, open := <-w.Updates():
			if !open {
				return fmt.Errorf("read bucket %s: %w", bucket, jetstream.ErrConsumerNotFound)
			}
			if e == nil {
				return nil
			}
			show(e.Value())
		}
	}
}

// dead chooses those that nobody knows.
func (s *Sweeper) dead(ctx context.Context, found []logs.Listed, l living) (dead []logs.Listed, err error) {
	known, err := s.known(ctx, found)
	if err != nil {
		return nil, err
	}
	for _, one := range found {
		gone := false
		switch {
		case isExecution(one.ID):
			gone, err = s.unknown(ctx, one.ID, known)
		case strings.HasPrefix(one.ID, "sensor-"):
			gone = !l.logs[one.ID]
		case strings.HasPrefix(one.ID, "install-"):
			gone = s.Versions != nil && !slices.ContainsFunc(s.Versions, func(digest string) bool { return ofVersion(one.ID, digest) })
		}
		if err != nil {
			return nil, err
		}
		if gone {
			dead = append(dead, one)
		}
	}
	return dead, nil
}

// ofVersion tells whether a log is of an installation of a version.
func ofVersion(id, digest string) bool {
	return strings.HasPrefix(id, streams.InstallLog(digest, "", 0)[:len("install-")+min(12, len(digest))]+"-")
}

func isExecution(id string) bool {
	_, err := uuid.Parse(id)
	return err == nil && len(id) == 36
}

// known tells of executions whether history has them, and has not noted that their log is removed.
func (s *Sweeper) known(ctx context.Context, found []logs.Listed) (map[string]bool, error) {
	var ids []string
	for _, one := range found {
		if isExecution(one.ID) {
			ids = append(ids, one.ID)
		}
	}
	known := map[string]bool{}
	if len(ids) == 0 {
		return known, nil
	}
	rows, err := s.DB.Query(ctx, `SELECT id::text FROM executions WHERE id = ANY ($1::text[]::uuid[]) AND log_removed_at IS NULL`, ids)
	if err != nil {
		return nil, fmt.Errorf("look for %d executions: %w", len(ids), err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("look for %d executions: %w", len(ids), err)
		}
		known[id] = true
	}
	return known, rows.Err()
}

// unknown tells whether an execution that history does not know is on the bus neither.
func (s *Sweeper) unknown(ctx context.Context, id string, known map[string]bool) (bool, error) {
	if known[id] {
		return false, nil
	}
	_, err := execution.NewFacts(s.Bus.JS).Find(ctx, id)
	if errors.Is(err, execution.ErrNotFound) {
		return true, nil
	}
	return false, err
}
