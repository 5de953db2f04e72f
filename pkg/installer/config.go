package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/streams"
)

// PutConfig makes the entry of a pack in CONFIGS what PostgreSQL has. It reads PostgreSQL after the entry and changes
// only the entry that it saw, so that of several at once the newest configuration stays.
func PutConfig(ctx context.Context, kv jetstream.KeyValue, store *definitions.Store, name string) error {
	for {
		err := putConfig(ctx, kv, store, name)
		if !streams.IsStale(err) && !errors.Is(err, jetstream.ErrKeyExists) {
			if err != nil {
				return fmt.Errorf("configuration of pack %s for bucket %s: %w", name, streams.BucketConfigs, err)
			}
			return nil
		}
	}
}

func putConfig(ctx context.Context, kv jetstream.KeyValue, store *definitions.Store, name string) error {
	e, err := kv.Get(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return err
	}
	there := err == nil
	config, err := store.PackConfig(ctx, name)
	switch {
	case errors.Is(err, definitions.ErrNotFound) && there:
		return kv.Delete(ctx, name, jetstream.LastRevision(e.Revision()))
	case errors.Is(err, definitions.ErrNotFound):
		return nil
	case err != nil:
		return err
	case there:
		_, err = kv.Update(ctx, name, config, e.Revision())
	default:
		_, err = kv.Create(ctx, name, config)
	}
	return err
}

// sameConfig compares documents, whatever their form.
func sameConfig(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

func emptyConfig(c json.RawMessage) bool { return sameConfig(c, json.RawMessage("{}")) }
