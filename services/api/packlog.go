package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// logPoll is how often is looked whether a runner has begun to make a version ready.
const logPoll = 200 * time.Millisecond

func (s *Server) routePackLog(a huma.API) {
	o := op(mayAt(access.View, access.Packs, "name", "pack"), http.MethodGet, "/packs/{name}/log", "read-pack-log", "Packs", "Read what making a version ready on a runner wrote",
		http.StatusNotFound, http.StatusTooManyRequests)
	o.Description = "Of the newest version, unless another is named. Without a runner it is that of one which failed, else of one that is at work, else of any. " +
		logNote
	register(s, a, o, s.readPackLog)
	documentLog(a, o)
}

type packLogInput struct {
	ByName
	Runner  string `query:"runner" doc:"The runner's name, or the beginning of it"`
	Version string `query:"version" doc:"A version, or the beginning of its digest"`
	LogPart
}

func (s *Server) readPackLog(ctx context.Context, in *packLogInput) (*huma.StreamResponse, error) {
	v, err := s.versionNamed(in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	found, err := onBus(ctx, s, func(ctx context.Context) (installation, error) { return s.installationOf(ctx, v, in) })
	if err != nil {
		return nil, err
	}
	l, err := in.of(found.log, logs.Stdout, func(ctx context.Context) (bool, error) { return !s.goesOn(ctx, found), nil })
	if err != nil {
		return nil, err
	}
	return s.streaming(s.serveLog(l)), nil
}

// versionNamed gives the newest version of a pack, or the newest with that name.
func (s *Server) versionNamed(name, version string) (definitions.Version, error) {
	now, err := s.defs.view()
	if err != nil {
		return definitions.Version{}, err
	}
	for _, v := range now.VersionsOf(name) {
		if version == "" || v.Version == version || strings.HasPrefix(v.Digest, version) {
			return v, nil
		}
	}
	if version != "" {
		return definitions.Version{}, notFound("version of pack "+name, version)
	}
	return definitions.Version{}, notFound("pack", name)
}

// installation is a version on a runner, with the id of its log.
type installation struct {
	version definitions.Version
	runner  string
	log     string
}

// errSilent is returned while no runner that is meant has said anything of a version.
var errSilent = errors.New("no runner has reported")

// installationOf chooses whose log is meant. While a follower's version is on its way it waits for the first report.
func (s *Server) installationOf(ctx context.Context, v definitions.Version, in *packLogInput) (installation, error) {
	for {
		found, err := s.reported(ctx, v, in.Runner)
		if !errors.Is(err, errSilent) {
			return found, err
		}
		if now, err := s.store.Version(ctx, v.Pack, v.Digest); err != nil || !in.Follow || now.State != definitions.VersionBuilding {
			return found, notFound("log of pack "+v.Pack+" "+v.Version+" of runner", cmp.Or(in.Runner, "any"))
		}
		select {
		case <-time.After(logPoll):
		case <-ctx.Done():
			return found, context.Cause(ctx)
		}
	}
}

func (s *Server) reported(ctx context.Context, v definitions.Version, runner string) (installation, error) {
	found := installation{version: v}
	all, err := s.packRunners(ctx, []definitions.Version{v})
	if err != nil {
		return found, err
	}
	rank := 0
	for _, r := range all {
		if weight := weights[r.Status]; weight > rank && strings.HasPrefix(r.Runner, runner) {
			rank, found.runner = weight, r.Runner
			found.log = cmp.Or(r.Log, streams.InstallLog(v.Digest, r.Runner, r.Generation))
		}
	}
	if v.Runner != "" && strings.HasPrefix(v.Runner, runner) && rank < weights[streams.InstallError] { // it may have gone
		found.runner, found.log = v.Runner, streams.InstallLog(v.Digest, v.Runner, v.Generation)
		return found, nil
	}
	if rank == 0 {
		return found, errSilent
	}
	return found, nil
}

// weights say whose log is shown where nobody says whose.
var weights = map[streams.InstallStatus]int{streams.Installed: 1, streams.Installing: 2, streams.InstallError: 3}

// goesOn tells whether a runner that lives is at work on a version. What cannot be found out goes on.
func (s *Server) goesOn(ctx context.Context, of installation) bool {
	var r streams.RunnerInfo
	if lives, err := entry(ctx, s, streams.BucketRunners, of.runner, &r); err != nil || !lives {
		return err != nil
	}
	var e streams.Environment
	there, err := entry(ctx, s, streams.BucketEnvironments, streams.EnvironmentKey(of.version.Digest, of.runner), &e)
	return err != nil || there && e.Status == streams.Installing
}
