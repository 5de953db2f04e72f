package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// errElsewhere is returned when another copy has written the record.
var errElsewhere = errors.New("another copy keeps this timer")

// record is what was handled of a timer.
type record struct {
	Version int       `json:"v"`
	Spec    string    `json:"spec"`    // the specification that the ticks were of; another one begins anew
	Handled time.Time `json:"handled"` // nothing up to here is to be published any more
}

// read gives a timer's record and its revision, 0 when there is none that can be read.
func (r *records) read(ctx context.Context, timer pack.Ref) (record, uint64, error) {
	entry, err := r.kv.Get(ctx, timer.String())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return record{}, 0, nil
	}
	if err != nil {
		return record{}, 0, fmt.Errorf("timer %s: read record: %w", timer, err)
	}
	var rec record
	if err := json.Unmarshal(entry.Value(), &rec); err != nil || rec.Version != streams.Version {
		return record{}, entry.Revision(), nil // written by another version: begin anew
	}
	return rec, entry.Revision(), nil
}

// write replaces the record of that revision, or returns errElsewhere when it is no longer the last.
func (r *records) write(ctx context.Context, timer pack.Ref, rec record, revision uint64) (uint64, error) {
	rec.Version = streams.Version
	data, err := json.Marshal(rec)
	if err != nil {
		return 0, fmt.Errorf("timer %s: encode record: %w", timer, err)
	}
	var next uint64
	if revision == 0 {
		next, err = r.kv.Create(ctx, timer.String(), data)
	} else {
		next, err = r.kv.Update(ctx, timer.String(), data, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || streams.IsStale(err) {
		return 0, fmt.Errorf("timer %s: %w", timer, errElsewhere)
	}
	if err != nil {
		return 0, fmt.Errorf("timer %s: write record: %w", timer, err)
	}
	return next, nil
}

// forget removes the records of timers that do not exist any more, so that one of the same name begins anew.
func (r *records) forget(ctx context.Context, exists func(string) bool) error {
	keys, err := r.kv.ListKeys(ctx)
	if err != nil {
		return fmt.Errorf("list timers: %w", err)
	}
	defer func() { _ = keys.Stop() }() // it has stopped by itself when all keys were read
	for key := range keys.Keys() {
		if exists(key) {
			continue
		}
		if err := r.kv.Delete(ctx, key); err != nil {
			return fmt.Errorf("forget timer %s: %w", key, err)
		}
	}
	return nil
}
