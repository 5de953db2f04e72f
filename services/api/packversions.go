package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
)

// maxInstallWait is how long an answer may wait for a version to go in service.
const maxInstallWait = 2 * time.Minute

// switchWait is how long the answers to a switch and a rollback wait: both are a matter of moments.
const switchWait = 10 * time.Second

func (s *Server) routePackVersions(a huma.API) {
	const tag = "Packs"
	register(s, a, op(mayAt(access.View, access.Packs, "name", "pack"), http.MethodGet, "/packs/{name}/status", "show-pack-status", tag,
		"Show a pack's versions, and how far each runner is", http.StatusNotFound), s.packStatus)
	change := op(mayAt(access.Operate, access.Packs, "name", "pack"), http.MethodPost, "/packs/{name}/switch", "switch-pack", tag, "Put the version in service that waits for it",
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
	change.Description = "One that is not ready yet goes in service when it is."
	register(s, a, change, s.switchPack)
	back := op(mayAt(access.Operate, access.Packs, "name", "pack"), http.MethodPost, "/packs/{name}/rollback", "rollback-pack", tag, "Put a version in service again that was before",
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
	back.Description = "At once: what is kept is still ready on the runners. A version that is on its way is given up."
	register(s, a, back, s.rollbackPack)
}

func installWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxInstallWait {
		return 0, invalid("wait", "want a duration such as 30s, at most 2m")
	}
	return d, nil
}

// outcome waits for what becomes of a version, for so long at most. A failure is an error. While PostgreSQL does not
// answer it is taken for what it was.
func (s *Server) outcome(ctx context.Context, v definitions.Version, wait time.Duration) (definitions.Version, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	next := 5 * time.Millisecond
	for v.State == definitions.VersionBuilding {
		select {
		case <-waiting.Done():
			return v, s.judge(ctx, v)
		case <-s.leaving.Done():
			return v, s.judge(ctx, v)
		case <-time.After(next):
		}
		next = min(2*next, 250*time.Millisecond)
		now, err := s.store.Version(waiting, v.Pack, v.Digest)
		switch {
		case errors.Is(err, definitions.ErrNoVersion):
			return v, conflict("the pack was uninstalled meanwhile")
		case err == nil:
			v = now
		}
	}
	return v, s.judge(ctx, v)
}

// judge makes an error of a version that did not come in service. What became of it is seen by the next request here.
func (s *Server) judge(ctx context.Context, v definitions.Version) error {
	seen := s.defs.refresh(ctx)
	switch v.State {
	case definitions.VersionActive:
		return seen
	case definitions.VersionBuilding, definitions.VersionReady:
		return nil
	case definitions.VersionRetired:
		return conflict("the pack was uninstalled meanwhile")
	case definitions.VersionFailed, definitions.VersionKept:
	}
	p := problem(http.StatusUnprocessableEntity, wire.CodeInstallFailed, failureText(v))
	shown := versionOf(v)
	p.Install = &shown
	return p
}

func failureText(v definitions.Version) string {
	where := ""
	if v.Runner != "" {
		where = " on runner " + v.Runner
	}
	return fmt.Sprintf("pack %s %s is not in service: it failed%s: %s", v.Pack, v.Version, where, v.Error)
}

func statusOf(v definitions.Version) int {
	if v.State == definitions.VersionActive {
		return http.StatusOK
	}
	return http.StatusAccepted
}

type versionOutput struct {
	Status int
	Body   wire.PackVersion
}

func (s *Server) switchPack(ctx context.Context, in *ByName) (*versionOutput, error) {
	s.notePack(ctx, in.Name, nil)
	v, err := s.store.Release(ctx, in.Name)
	return s.moved(ctx, "switch", in.Name, v, err)
}

type rollbackInput struct {
	ByName
	Body *wire.PackRollback
}

func (s *Server) rollbackPack(ctx context.Context, in *rollbackInput) (*versionOutput, error) {
	version := ""
	if in.Body != nil {
		version = in.Body.Version
	}
	s.notePack(ctx, in.Name, nil)
	v, err := s.store.Rollback(ctx, in.Name, version)
	return s.moved(ctx, "rollback", in.Name, v, err)
}

// moved answers a request that has put a version on its way.
func (s *Server) moved(ctx context.Context, request, name string, v definitions.Version, err error) (*versionOutput, error) {
	switch {
	case errors.Is(err, definitions.ErrNotFound):
		return nil, notFound("pack", name)
	case errors.Is(err, definitions.ErrNoVersion):
		return nil, conflict(err.Error())
	case err != nil:
		return nil, err
	}
	s.log.InfoContext(ctx, "pack version asked for", slog.String(logging.Pack, name), slog.String("version", v.Version),
		slog.String("digest", v.Digest), slog.String("request", request), slog.String("by", caller(ctx)))
	s.notePack(ctx, name, map[string]string{"version": v.Version, "digest": v.Digest})
	if v, err = s.outcome(ctx, v, switchWait); err != nil {
		return nil, err
	}
	return &versionOutput{Status: statusOf(v), Body: versionOf(v)}, nil
}

func versionOf(v definitions.Version) wire.PackVersion {
	out := wire.PackVersion{
		Version: v.Version, Digest: v.Digest, State: string(v.State), Switch: string(v.Switch), Generation: v.Generation, Source: v.Source, Origin: v.Origin,
		InstalledBy: v.By, RequestedAt: v.RequestedAt.UTC(), SwitchedAt: utc(v.SwitchedAt), EndedAt: utc(v.EndedAt),
		Runner: v.Runner, Error: v.Error,
	}
	if len(v.Tail) > 0 {
		out.Tail = v.Tail
	}
	return out
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// isNews tells whether a version says something of its pack beyond what is in service.
func isNews(v definitions.Version) bool { return v.Coming() || v.State == definitions.VersionFailed }

func newestOf(v *view, one definitions.Version) bool {
	return v.VersionsOf(one.Pack)[0].Digest == one.Digest
}

// stateOf tells how a pack is whose versions are given, the newest first: active, unless the newest version is on its
// way or has failed.
func stateOf(versions []definitions.Version) (state, coming string) {
	if len(versions) > 0 && isNews(versions[0]) {
		return string(versions[0].State), versions[0].Version
	}
	return wire.PackActive, ""
}

// packToCome shows a pack of which no version is in service yet.
func packToCome(v definitions.Version) wire.Pack {
	return wire.Pack{
		Name: v.Pack, Version: v.Version, State: string(v.State), Coming: v.Version, Digest: v.Digest, Source: v.Source, InstalledBy: v.By,
		InstalledAt: v.RequestedAt.UTC(), UpdatedAt: v.RequestedAt.UTC(), Actions: []string{}, Triggers: []string{}, Sensors: []string{}, Rules: []string{},
	}
}

// packAfter shows a pack whose version was recorded: as it is installed, or as it will be.
func (s *Server) packAfter(v definitions.Version, p pack.Pack) wire.Pack {
	if now, err := s.defs.view(); err == nil && now.Packs[v.Pack].Digest == v.Digest {
		return packOf(now, now.Packs[v.Pack])
	}
	out := packToCome(v)
	out.Description, out.Author, out.Runtime, out.Concurrency = p.Description, p.Author, p.Runtime, p.Concurrency
	for _, a := range p.Actions {
		out.Actions = append(out.Actions, a.Name)
	}
	for _, t := range p.Triggers {
		out.Triggers = append(out.Triggers, t.Name)
	}
	for _, x := range p.Sensors {
		out.Sensors = append(out.Sensors, x.Name)
	}
	for _, r := range p.Rules {
		out.Rules = append(out.Rules, r.Name)
	}
	return out
}
