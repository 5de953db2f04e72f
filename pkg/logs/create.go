package logs

import (
	"context"
	"errors"
	"fmt"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/streams"
)

// errTaken is returned when an object of that name exists and is another, or was removed: somebody else completed the
// log.
var errTaken = errors.New("somebody else has stored it")

// create stores an object whose name nobody has used. To be told that it exists is success when it is the same: the
// answer to an attempt before was lost.
func (s *Store) create(ctx context.Context, meta jetstream.ObjectMeta, data []byte) error {
	msgs, err := bus.ObjectMessages(streams.ObjectsLogs, meta, data)
	if err != nil {
		return err
	}
	chunks, description := msgs[:len(msgs)-1], msgs[len(msgs)-1]
	for _, m := range chunks {
		if _, err := s.Bus.JS.PublishMsg(ctx, m); err != nil {
			return fmt.Errorf("store object %s: %w", meta.Name, err)
		}
	}
	failpoint.Hit(failpoint.LogsChunked)
	_, err = s.Bus.JS.PublishMsg(ctx, description, jetstream.WithExpectLastSequencePerSubject(0))
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return s.sameAs(ctx, meta, data)
	}
	if err != nil {
		return fmt.Errorf("store object %s: %w", meta.Name, err)
	}
	return nil
}

// sameAs returns errTaken unless the object of that name holds what it should.
func (s *Store) sameAs(ctx context.Context, meta jetstream.ObjectMeta, data []byte) error {
	info, err := s.objects.GetInfo(ctx, meta.Name, jetstream.GetObjectInfoShowDeleted())
	if err != nil {
		return fmt.Errorf("look at object %s: %w", meta.Name, err)
	}
	if info.Deleted || info.Digest != bus.ObjectDigest(data) || info.Metadata[segmentKey] != meta.Metadata[segmentKey] {
		return backoff.Permanent(fmt.Errorf("store object %s: %w", meta.Name, errTaken))
	}
	return nil
}
