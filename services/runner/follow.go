package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// follow does what INSTALLS asks for until ctx ends.
func (in *installs) follow(ctx context.Context, js jetstream.JetStream) {
	for ctx.Err() == nil {
		if err := in.watch(ctx, js); ctx.Err() == nil {
			in.log.WarnContext(ctx, "installations not followed", slog.Any(logging.Error, err), slog.Duration("retry_in", consumerPause))
			lifecycle.Pause(ctx, consumerPause)
		}
	}
}

// watch follows the bucket. What is not in it was taken away while nobody looked, or the bucket was lost: only after
// the installer has had the time to say again what is wanted, it is the former.
func (in *installs) watch(ctx context.Context, js jetstream.JetStream) error {
	w, err := bus.Watch(ctx, js, streams.BucketInstalls, jetstream.AllKeys)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }() // it has ended by itself when its context has
	in.reports.repeat()
	all := map[string]bool{}
	spared := time.NewTimer(in.spare)
	spared.Stop() // it begins to run when all that is wanted is known
	defer spared.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-spared.C:
			in.sweep(ctx, all)
		case e, open := <-w.Updates():
			switch {
			case !open:
				return fmt.Errorf("watch bucket %s: %w", streams.BucketInstalls, errWatchEnded)
			case e == nil:
				spared.Reset(in.spare)
				listed := maps.Clone(all)
				in.work.Go(func() { in.restore(ctx, listed) })
			case e.Operation() != jetstream.KeyValuePut:
				delete(all, e.Key())
				in.forget(e.Key())
			default:
				all[e.Key()] = true
				in.consider(ctx, e.Key(), e.Value())
			}
		}
	}
}

// consider wants a pack that is for the runner's pool.
func (in *installs) consider(ctx context.Context, digest string, data []byte) {
	var b streams.Install
	if err := json.Unmarshal(data, &b); err != nil || b.Version > streams.Version || b.Digest != digest {
		in.log.WarnContext(ctx, "installation not understood", slog.String("digest", digest), slog.Any(logging.Error, err))
		return
	}
	if slices.Contains(b.Pools, in.about.Pool) {
		in.want(context.WithoutCancel(ctx), b)
	}
}

// sweep forgets what nobody asks for: of the packs that were wanted, and of those that are on the disk.
func (in *installs) sweep(ctx context.Context, all map[string]bool) {
	in.mu.Lock()
	var gone []string
	for digest, i := range in.entries {
		if i.asked && !all[digest] {
			gone = append(gone, digest)
		}
	}
	in.mu.Unlock()
	for _, digest := range gone {
		in.forget(digest)
	}
	if err := in.store.Sweep(func(digest string) bool { return all[digest] || in.has(digest) }); err != nil {
		in.log.WarnContext(ctx, "packs of before not removed", slog.Any(logging.Error, err))
	}
}

func (in *installs) has(digest string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.entries[digest] != nil
}
