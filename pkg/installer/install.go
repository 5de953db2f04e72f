package installer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

// archiveLag is how long a version may be recorded before its archive is stored: whoever brings it may store it again.
const archiveLag = time.Minute

// install takes the next step of a version that is on its way.
func (l *leader) install(ctx context.Context, v definitions.Version, c crowd) error {
	p, err := l.archives.pack(ctx, v.Digest)
	switch {
	case errors.Is(err, errGone) && time.Since(v.RequestedAt) < archiveLag:
		return nil
	case errors.Is(err, errGone), errors.Is(err, errUnreadable):
		return l.fail(ctx, v, definitions.Failure{Error: err.Error()})
	case err != nil:
		return err
	}
	if err := l.announce(ctx, v, p); err != nil {
		return err
	}
	runners, reports := c.of(v.Digest)
	now := time.Now()
	d := Decide(Situation{
		Version: v, Pack: p, Runners: runners, Reports: reports, Now: now, Patience: l.BuildTimeout + allowance,
		Guess: v.RequestedAt.Before(l.since) && now.Sub(l.since) < l.Settle,
	})
	switch d.Verdict {
	case Serve:
		return l.serve(ctx, v, p)
	case GiveUp:
		return l.fail(ctx, v, d.Failure)
	case Ready:
		return l.ready(ctx, v)
	case Wait:
	}
	return nil
}

// announce tells the runners of the pack's pools to make a version ready.
func (l *leader) announce(ctx context.Context, v definitions.Version, p pack.Pack) error {
	if l.announced[v.Digest] >= v.Generation {
		return nil
	}
	_, err := call(ctx, func(ctx context.Context) (struct{}, error) {
		kv, err := l.Bus.JS.KeyValue(ctx, streams.BucketInstalls)
		if err != nil {
			return struct{}{}, fmt.Errorf("open bucket %s: %w", streams.BucketInstalls, err)
		}
		return struct{}{}, putInstall(ctx, kv, wanted(v, Pools(p)))
	})
	if err != nil {
		return fmt.Errorf("tell runners of pack %s %s: %w", v.Pack, v.Version, err)
	}
	failpoint.Hit(failpoint.InstallAnnounced)
	l.announced[v.Digest] = v.Generation
	return nil
}

// putInstall writes an entry unless one of this try or a later one is there.
func putInstall(ctx context.Context, kv jetstream.KeyValue, want streams.Install) error {
	data, err := json.Marshal(want)
	if err != nil {
		return err
	}
	e, err := kv.Get(ctx, want.Digest)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		_, err = kv.Create(ctx, want.Digest, data)
		return err
	}
	if err != nil {
		return err
	}
	var there streams.Install
	if json.Unmarshal(e.Value(), &there) == nil && there.Generation >= want.Generation && slices.Equal(there.Pools, want.Pools) {
		return nil
	}
	_, err = kv.Update(ctx, want.Digest, data, e.Revision())
	return err
}

// serve puts a version in service, after what its executions will ask for is known.
func (l *leader) serve(ctx context.Context, v definitions.Version, p pack.Pack) error {
	if err := l.place(ctx, p); err != nil {
		return err
	}
	failpoint.Hit(failpoint.InstallSwitching)
	change, err := call(ctx, func(ctx context.Context) (definitions.Change, error) {
		return l.store.Switch(ctx, definitions.Installed{Pack: p, Digest: v.Digest, Source: v.Source, By: v.By}, v)
	})
	for _, refusal := range []error{definitions.ErrConflict, definitions.ErrMissing, definitions.ErrInUse} {
		if errors.Is(err, refusal) { // it was well when it was recorded
			return l.fail(ctx, v, definitions.Failure{Error: err.Error()})
		}
	}
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.InstallSwitched)
	l.metrics.installs.WithLabelValues(resultActive).Inc()
	l.log.LogAttrs(ctx, slog.LevelInfo, "pack in service", versionAttrs(v, slog.String("was", cmp.Or(change.PreviousVersion, "nothing")),
		slog.Duration("took", time.Since(v.RequestedAt)))...)
	return nil
}

// place writes what a pack's actions ask of their runners. An entry is written anew even if it is there: who is about
// to remove it finds it changed.
func (l *leader) place(ctx context.Context, p pack.Pack) error {
	all := placement.OfPack(p)
	if len(all) == 0 {
		return nil
	}
	_, err := call(ctx, func(ctx context.Context) (struct{}, error) {
		kv, err := l.Bus.JS.KeyValue(ctx, streams.BucketPlacements)
		if err != nil {
			return struct{}{}, fmt.Errorf("open bucket %s: %w", streams.BucketPlacements, err)
		}
		for token, of := range all {
			if err := putPlacement(ctx, kv, token, of); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

func putPlacement(ctx context.Context, kv jetstream.KeyValue, token string, of streams.Placement) error {
	data, err := json.Marshal(of)
	if err != nil {
		return err
	}
	if _, err := kv.Put(ctx, token, data); err != nil {
		return fmt.Errorf("place %s: %w", token, err)
	}
	return nil
}

func (l *leader) fail(ctx context.Context, v definitions.Version, f definitions.Failure) error {
	_, err := call(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, l.store.Fail(ctx, v, f) })
	if err != nil {
		return err
	}
	l.metrics.installs.WithLabelValues(resultFailed).Inc()
	l.log.LogAttrs(ctx, slog.LevelWarn, "pack not in service", versionAttrs(v, slog.String(logging.Runner, f.Runner), slog.String(logging.Error, f.Error))...)
	return nil
}

func (l *leader) ready(ctx context.Context, v definitions.Version) error {
	_, err := call(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, l.store.Ready(ctx, v) })
	if err != nil {
		return err
	}
	l.log.LogAttrs(ctx, slog.LevelInfo, "pack ready to go in service", versionAttrs(v)...)
	return nil
}

func versionAttrs(v definitions.Version, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String(logging.Pack, v.Pack), slog.String("version", v.Version), slog.String("digest", v.Digest),
		slog.String("source", v.Source), slog.String("by", v.By), slog.String("switch", string(v.Switch)), slog.Int("generation", v.Generation),
	}, more...)
}
