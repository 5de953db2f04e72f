package installer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/streams"
)

// retire removes the versions that nobody needs any more.
func (l *leader) retire(ctx context.Context, reports map[string]streams.Environment) error {
	unused, err := call(ctx, func(ctx context.Context) ([]definitions.Version, error) { return l.store.Unused(ctx, l.Grace) })
	if err != nil {
		return err
	}
	for _, v := range unused {
		if err := l.retireOne(ctx, v, reports); err != nil && !errors.Is(err, definitions.ErrStale) {
			return err
		}
	}
	return nil
}

func (l *leader) retireOne(ctx context.Context, v definitions.Version, reports map[string]streams.Environment) error {
	known, err := call(ctx, func(ctx context.Context) (bool, error) { return l.recorded(ctx, v.EndedAt.Add(l.Grace)) })
	if err != nil || !known {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	if err := l.store.Remove(ctx, v, l.Grace, func() error { return l.clear(ctx, v, reports) }); err != nil {
		return err
	}
	delete(l.announced, v.Digest)
	l.metrics.removed.Inc()
	l.log.LogAttrs(ctx, slog.LevelInfo, "pack version removed", versionAttrs(v)...)
	return nil
}

// clear takes away what belongs to a version: runners remove their part when its entry in INSTALLS has gone.
func (l *leader) clear(ctx context.Context, v definitions.Version, reports map[string]streams.Environment) error {
	if err := l.deleteEntries(ctx, streams.BucketInstalls, v.Digest); err != nil {
		return err
	}
	var keys []string
	for key := range reports {
		if digest, _, _ := streams.EnvironmentTokens(key); digest == v.Digest {
			keys = append(keys, key)
		}
	}
	if err := l.deleteEntries(ctx, streams.BucketEnvironments, keys...); err != nil {
		return err
	}
	objects, err := l.Bus.JS.ObjectStore(ctx, streams.ObjectsPacks)
	if err != nil {
		return fmt.Errorf("open object bucket %s: %w", streams.ObjectsPacks, err)
	}
	if err := objects.Delete(ctx, v.Digest); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("remove archive %s: %w", v.Digest, err)
	}
	return nil
}

// recorded tells whether history has everything that happened to executions until then.
func (l *leader) recorded(ctx context.Context, until time.Time) (bool, error) {
	s, err := l.Bus.JS.Stream(ctx, streams.Executions)
	if err != nil {
		return false, fmt.Errorf("open stream %s: %w", streams.Executions, err)
	}
	c, err := s.Consumer(ctx, streams.ConsumerRecorder)
	if err != nil {
		return false, fmt.Errorf("open consumer %s of %s: %w", streams.ConsumerRecorder, streams.Executions, err)
	}
	info := c.CachedInfo()
	if info.NumPending == 0 && info.NumAckPending == 0 {
		return true, nil
	}
	next, err := s.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(streams.AllExecutions))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read stream %s: %w", streams.Executions, err)
	}
	return next.Time.After(until), nil
}
