package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// orphanAge is how long a runner has not been seen whose reports are removed: its name does not come again.
const orphanAge = time.Hour

// due tells whether everything is to be compared: now and then, and soon after the definitions have changed.
func (l *leader) due(snap *definitions.Snapshot) bool {
	since := time.Since(l.tidied)
	return since >= l.Every || snap.Revision != l.revision && since >= l.Every/10
}

// tidy makes the buckets what PostgreSQL says, and removes versions that nobody needs.
func (l *leader) tidy(ctx context.Context, snap *definitions.Snapshot, runners map[string]streams.RunnerInfo, reports map[string]streams.Environment) error {
	err := errors.Join(l.retire(ctx, reports), l.reconcile(ctx), l.forgetRunners(ctx, runners, reports))
	if err == nil {
		l.tidied, l.revision = time.Now(), snap.Revision
	}
	return err
}

// bucket is a bucket with what was in it when it was opened.
type bucket struct {
	jetstream.KeyValue
	entries map[string]jetstream.KeyValueEntry
}

func (l *leader) open(ctx context.Context, name string) (bucket, error) {
	return call(ctx, func(ctx context.Context) (bucket, error) {
		kv, err := l.Bus.JS.KeyValue(ctx, name)
		if err != nil {
			return bucket{}, fmt.Errorf("open bucket %s: %w", name, err)
		}
		b := bucket{KeyValue: kv, entries: map[string]jetstream.KeyValueEntry{}}
		return b, b.read(ctx)
	})
}

func (b bucket) read(ctx context.Context) error {
	w, err := b.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", b.Bucket(), err)
	}
	defer func() { _ = w.Stop() }() // it was for one reading
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("read bucket %s: %w", b.Bucket(), context.Cause(ctx))
		case e, open := <-w.Updates():
			if !open { // what was read is not all there is
				return fmt.Errorf("read bucket %s: %w", b.Bucket(), errWatchEnded)
			}
			if e == nil {
				return nil
			}
			b.entries[e.Key()] = e
		}
	}
}

// drop removes the entries that nobody wants, unless they have changed since the bucket was opened.
func (b bucket) drop(ctx context.Context, wanted func(key string) bool) error {
	for key, e := range b.entries {
		if wanted(key) {
			continue
		}
		err := b.Delete(ctx, key, jetstream.LastRevision(e.Revision()))
		if err != nil && !streams.IsStale(err) {
			return fmt.Errorf("remove %s from bucket %s: %w", key, b.Bucket(), err)
		}
	}
	return nil
}

// reconcile compares the buckets with PostgreSQL. It reads them first: what is in them was in PostgreSQL before, so
// that what PostgreSQL does not have afterwards is not wanted any more.
func (l *leader) reconcile(ctx context.Context) error {
	var all [3]bucket
	for i, name := range []string{streams.BucketInstalls, streams.BucketPlacements, streams.BucketConfigs} {
		var err error
		if all[i], err = l.open(ctx, name); err != nil {
			return err
		}
	}
	snap, err := call(ctx, l.store.Snapshot)
	if err != nil {
		return err
	}
	packs, complete := l.packsOf(ctx, snap.Versions)
	_, err = call(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, errors.Join(
			l.alignInstalls(ctx, all[0], snap.Versions, packs), alignPlacements(ctx, all[1], packs, complete), l.alignConfigs(ctx, all[2], snap.Packs))
	})
	return err
}

// packsOf tells what the packs of versions ask; complete tells that none is missing which may be read later.
func (l *leader) packsOf(ctx context.Context, versions []definitions.Version) (packs map[string]asks, complete bool) {
	packs, complete = map[string]asks{}, true
	coming := map[string]bool{}
	for _, v := range versions {
		coming[v.Digest] = coming[v.Digest] || v.Coming()
		p, err := l.archives.asked(ctx, v.Digest)
		switch {
		case err == nil:
			packs[v.Digest] = p
		case errors.Is(err, errGone) && v.Coming():
			complete = false
		case errors.Is(err, errGone), errors.Is(err, errUnreadable):
			complete = false // a runner that has the pack may store it again
			if !l.unavailable[v.Digest] {
				l.unavailable[v.Digest] = true
				l.log.WarnContext(ctx, "pack cannot be read", slog.String(logging.Pack, v.Pack), slog.String("version", v.Version),
					slog.String("digest", v.Digest), slog.Any(logging.Error, err))
			}
		default:
			complete = false
		}
	}
	l.archives.keep(coming)
	return packs, complete
}

// alignInstalls tells runners of what they must have, and takes away what no version stands for.
func (l *leader) alignInstalls(ctx context.Context, b bucket, versions []definitions.Version, packs map[string]asks) error {
	for _, v := range versions {
		p, ok := packs[v.Digest]
		if !ok || v.State == definitions.VersionFailed { // nobody tries again what failed, until somebody asks
			continue
		}
		if _, there := b.entries[v.Digest]; there {
			continue
		}
		if err := putInstall(ctx, b, wanted(v, p.pools)); err != nil && !streams.IsStale(err) {
			return fmt.Errorf("tell runners of pack %s %s: %w", v.Pack, v.Version, err)
		}
	}
	return b.drop(ctx, func(digest string) bool {
		return slices.ContainsFunc(versions, func(v definitions.Version) bool { return v.Digest == digest })
	})
}

// alignPlacements writes what the actions of all versions ask for, and removes the rest when it knows all of them.
func alignPlacements(ctx context.Context, b bucket, packs map[string]asks, complete bool) error {
	wanted := map[string]bool{}
	for _, p := range packs {
		for token, of := range p.placements {
			wanted[token] = true
			var there streams.Placement
			if e, ok := b.entries[token]; ok && json.Unmarshal(e.Value(), &there) == nil && reflect.DeepEqual(there, of) {
				continue
			}
			if err := putPlacement(ctx, b, token, of); err != nil {
				return err
			}
		}
	}
	if !complete {
		return nil
	}
	return b.drop(ctx, func(token string) bool { return wanted[token] })
}

// alignConfigs makes the configurations what PostgreSQL has.
func (l *leader) alignConfigs(ctx context.Context, b bucket, packs map[string]definitions.Pack) error {
	for name, p := range packs {
		e, there := b.entries[name]
		if there && sameConfig(e.Value(), p.Config) || !there && emptyConfig(p.Config) {
			continue
		}
		if err := PutConfig(ctx, b, l.store, name); err != nil {
			return err
		}
	}
	return b.drop(ctx, func(name string) bool { _, ok := packs[name]; return ok })
}

// forgetRunners removes what runners reported that have been gone for long.
func (l *leader) forgetRunners(ctx context.Context, runners map[string]streams.RunnerInfo, reports map[string]streams.Environment) error {
	var errs []error
	now := time.Now()
	for key := range reports {
		_, name, _ := streams.EnvironmentTokens(key)
		if _, lives := runners[name]; lives {
			delete(l.unseen, name)
			continue
		}
		if since, noted := l.unseen[name]; !noted {
			l.unseen[name] = now
		} else if now.Sub(since) > orphanAge {
			errs = append(errs, l.deleteEntries(ctx, streams.BucketEnvironments, key))
		}
	}
	return errors.Join(errs...)
}

func (l *leader) deleteEntries(ctx context.Context, name string, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := call(ctx, func(ctx context.Context) (struct{}, error) {
		kv, err := l.Bus.JS.KeyValue(ctx, name)
		if err != nil {
			return struct{}{}, fmt.Errorf("open bucket %s: %w", name, err)
		}
		for _, key := range keys {
			if err := kv.Delete(ctx, key); err != nil {
				return struct{}{}, fmt.Errorf("remove %s from bucket %s: %w", key, name, err)
			}
		}
		return struct{}{}, nil
	})
	return err
}
