package logs

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// Remove removes a log: what is stored of it and what is still on the bus. Removing what is not there is no error.
func (s *Store) Remove(ctx context.Context, id string) error {
	names, err := s.stored(ctx, id)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.objects.Delete(ctx, name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return fmt.Errorf("remove log %s: %w", id, err)
		}
	}
	subjects, err := streams.LogsOf(id)
	if err != nil {
		return fmt.Errorf("remove log %.60q: %w: %w", id, ErrBadRequest, err)
	}
	if err := s.live.Purge(ctx, jetstream.WithPurgeSubject(subjects)); err != nil {
		return fmt.Errorf("remove log %s: %w", id, err)
	}
	return nil
}

// stored lists the objects of a log, the manifest last: until it has gone the others are found by it.
func (s *Store) stored(ctx context.Context, id string) (names []string, err error) {
	m, err := s.Manifest(ctx, id)
	open := errors.Is(err, ErrNoManifest)
	if err != nil && !open {
		return nil, err
	}
	for _, stream := range Names() {
		one := m.Streams[stream]
		if open {
			if one, err = s.segments(ctx, id, stream); err != nil {
				return nil, err
			}
		}
		for _, seg := range one.Segments {
			names = append(names, seg.Name)
		}
	}
	return append(names, manifestName(id)), nil
}
