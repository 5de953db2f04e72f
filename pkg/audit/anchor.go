package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// anchorKey is the entry that holds the newest head.
const anchorKey = "head"

// Anchor keeps the newest head on the bus, where whoever can write to the database alone cannot change it. It never
// goes back: an older head than the one that is kept is left out.
func Anchor(ctx context.Context, js jetstream.JetStream, h Head) error {
	kv, err := js.KeyValue(ctx, streams.BucketAudit)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketAudit, err)
	}
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	for {
		was, revision, err := anchored(ctx, kv)
		if err != nil {
			return err
		}
		if revision > 0 && was.Seq >= h.Seq {
			return nil
		}
		if revision == 0 {
			_, err = kv.Create(ctx, anchorKey, data)
		} else {
			_, err = kv.Update(ctx, anchorKey, data, revision)
		}
		if errors.Is(err, jetstream.ErrKeyExists) || streams.IsStale(err) {
			continue // another process was first; look again
		}
		if err != nil {
			return fmt.Errorf("keep the head of the audit: %w", err)
		}
		return nil
	}
}

// Anchored gives the head that is kept on the bus, and false when none is.
func Anchored(ctx context.Context, js jetstream.JetStream) (Head, bool, error) {
	kv, err := js.KeyValue(ctx, streams.BucketAudit)
	if err != nil {
		return Head{}, false, fmt.Errorf("open bucket %s: %w", streams.BucketAudit, err)
	}
	h, revision, err := anchored(ctx, kv)
	return h, revision > 0, err
}

func anchored(ctx context.Context, kv jetstream.KeyValue) (h Head, revision uint64, err error) {
	e, err := kv.Get(ctx, anchorKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return h, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &h)
	}
	if err != nil {
		return h, 0, fmt.Errorf("kept head of the audit: %w", err)
	}
	return h, e.Revision(), nil
}
