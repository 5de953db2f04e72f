package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// restore stores the archives of packs that this runner has and the bus has lost, so that other runners can have them
// and the installer reads them. An archive follows from its files; where a build has changed these it cannot be had.
// Of a bucket with nothing in it all may be wanted; else it is those that are listed.
func (in *installs) restore(ctx context.Context, listed map[string]bool) {
	digests, err := in.store.Digests()
	if err != nil {
		in.log.WarnContext(ctx, "packs not looked at", slog.Any(logging.Error, err))
		return
	}
	for _, digest := range digests {
		if len(listed) > 0 && !listed[digest] {
			continue
		}
		did, err := in.restoreOne(ctx, digest)
		switch {
		case err != nil && ctx.Err() == nil:
			in.log.WarnContext(ctx, "archive not restored", slog.String("digest", digest), slog.Any(logging.Error, err))
		case did:
			in.log.InfoContext(ctx, "archive restored", slog.String("digest", digest))
		}
	}
}

func (in *installs) restoreOne(ctx context.Context, digest string) (bool, error) {
	objects, err := in.bus.JS.ObjectStore(ctx, streams.ObjectsPacks)
	if err != nil {
		return false, fmt.Errorf("open object bucket %s: %w", streams.ObjectsPacks, err)
	}
	if _, err := objects.GetInfo(ctx, digest); !errors.Is(err, jetstream.ErrObjectNotFound) {
		return false, err
	}
	e, err := in.store.Use(ctx, digest)
	if errors.Is(err, environment.ErrNotBuilt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer e.Release()
	got, archive, err := pack.Archive(e.Pack)
	if err == nil && got != digest {
		err = environment.ErrDigest
	}
	if err != nil {
		return false, err
	}
	return true, in.bus.PutObject(ctx, streams.ObjectsPacks, jetstream.ObjectMeta{Name: digest}, archive)
}
