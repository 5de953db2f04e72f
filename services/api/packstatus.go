package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/streams"
)

func (s *Server) packStatus(ctx context.Context, in *ByName) (*reply[wire.PackStatus], error) {
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	versions := v.VersionsOf(in.Name)
	if len(versions) == 0 {
		return nil, notFound("pack", in.Name)
	}
	out := wire.PackStatus{Name: in.Name, Version: v.Packs[in.Name].Version, Versions: shownVersions(versions), Runners: []wire.PackRunner{}}
	out.State, _ = stateOf(versions)
	if _, installed := v.Packs[in.Name]; !installed && out.State == wire.PackActive {
		return nil, notFound("pack", in.Name) // all that is left waits for its last use
	}
	out.Runners, err = onBus(ctx, s, func(ctx context.Context) ([]wire.PackRunner, error) { return s.packRunners(ctx, current(versions)) })
	if err != nil {
		return nil, err
	}
	return answer(out), nil
}

func shownVersions(versions []definitions.Version) []wire.PackVersion {
	previous, some := definitions.Previous(versions)
	out := make([]wire.PackVersion, len(versions))
	for i, v := range versions {
		out[i] = versionOf(v)
		out[i].Previous = some && v.Digest == previous.Digest
	}
	return out
}

// current gives the versions that runners are asked about: the one in service, and the newest if that is another
// which is on its way or has failed.
func current(versions []definitions.Version) (chosen []definitions.Version) {
	for i, v := range versions {
		if v.State == definitions.VersionActive || i == 0 && isNews(v) {
			chosen = append(chosen, v)
		}
	}
	return chosen
}

// packRunners tells how far every living runner of their pools is with versions.
func (s *Server) packRunners(ctx context.Context, versions []definitions.Version) ([]wire.PackRunner, error) {
	runners, err := s.runners(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(runners, func(a, b wire.Runner) int { return cmp.Compare(a.Name, b.Name) })
	all := []wire.PackRunner{}
	for _, v := range versions {
		pools, err := s.poolsOf(ctx, v.Digest)
		if err != nil {
			return nil, err
		}
		for _, r := range runners {
			if !slices.Contains(pools, r.Pool) {
				continue
			}
			e, err := s.environment(ctx, v, r)
			if err != nil {
				return nil, err
			}
			all = append(all, wire.PackRunner{Environment: e, Installs: r.Installs, Draining: r.Draining, Seconds: lasted(e, time.Now())})
		}
	}
	return all, nil
}

// poolsOf gives the pools whose runners have to do with a version. It is empty before they were told.
func (s *Server) poolsOf(ctx context.Context, digest string) ([]string, error) {
	var in streams.Install
	_, err := entry(ctx, s, streams.BucketInstalls, digest, &in)
	return in.Pools, err
}

// environment is what a runner reports of a version.
func (s *Server) environment(ctx context.Context, v definitions.Version, r wire.Runner) (streams.Environment, error) {
	e := streams.Environment{}
	_, err := entry(ctx, s, streams.BucketEnvironments, streams.EnvironmentKey(v.Digest, r.Name), &e)
	if err != nil || e.Status != "" {
		return e, err
	}
	return streams.Environment{
		Version: streams.Version, Pack: v.Pack, PackVersion: v.Version, Digest: v.Digest, Generation: v.Generation,
		Runner: r.Name, Pool: r.Pool, Host: r.Host, Status: streams.NotInstalled,
	}, nil
}

// entry reads an entry of a bucket, and tells whether there is one.
func entry(ctx context.Context, s *Server, bucket, key string, into any) (bool, error) {
	kv, err := s.config.Bus.JS.KeyValue(ctx, bucket)
	if err != nil {
		return false, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), into)
	}
	if err != nil {
		return false, fmt.Errorf("read %s of bucket %s: %w", key, bucket, err)
	}
	return true, nil
}

// lasted tells how long an installation took, or has taken so far.
func lasted(e streams.Environment, now time.Time) *float64 {
	if e.StartedAt.IsZero() {
		return nil
	}
	end := now
	switch {
	case e.InstalledAt != nil:
		end = *e.InstalledAt
	case e.Status != streams.Installing:
		return nil
	}
	seconds := max(0, end.Sub(e.StartedAt).Seconds())
	return &seconds
}
