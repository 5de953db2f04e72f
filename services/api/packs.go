package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
)

// Bounds of an upload.
const (
	maxArchive    = 64 << 20
	uploadTimeout = 5 * time.Minute
)

func (s *Server) routePacks(a huma.API) {
	const tag = "Packs"
	install := op(mayOne(access.Edit, access.Packs), http.MethodPost, "/packs", "install-pack", tag, "Install a pack, or put another version in its place",
		http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	install.Description = installNote
	registerWithin(s, a, install, uploadTimeout+maxInstallWait, s.installPack)
	documentUpload(a, install, "application/gzip", "application/zstd", "application/x-tar", "application/zip")
	register(s, a, op(mayList(access.View, access.Packs), http.MethodGet, "/packs", "list-packs", tag, "List packs"), s.listPacks)
	register(s, a, op(mayAt(access.View, access.Packs, "name", "pack"), http.MethodGet, "/packs/{name}", "show-pack", tag, "Show a pack", http.StatusNotFound), s.showPack)
	uninstall := op(mayAt(access.Edit, access.Packs, "name", "pack"), http.MethodDelete, "/packs/{name}", "uninstall-pack", tag, "Remove a pack with all that it defines",
		http.StatusNotFound, http.StatusConflict)
	uninstall.DefaultStatus = http.StatusOK
	register(s, a, uninstall, s.uninstallPack)
	s.routePackVersions(a)
	s.routePackConfig(a)
	s.routePackLog(a)
}

const installNote = "The body is a tar archive of the pack's folder, plain or compressed with gzip or zstd, or a zip. Every mistake in any file is reported at once, " +
	"with file, line and column, and then nothing is installed. Otherwise the version is made ready on the runners of its pools, and goes in service when " +
	"switch says so; until then, and when it fails, the one before stays in service. 200: it is in service. 202: it is on its way, and " +
	"GET /packs/{name}/status tells how far. 422 install_failed: it cannot go in service; to install it again is to try again."

type packInput struct {
	Source string `query:"source" maxLength:"200" default:"api" doc:"Who brings the pack. A pack stays with its source: another cannot replace it."`
	Origin string `query:"origin" maxLength:"2000" doc:"Where the archive came from, exactly: an address with its sum, a commit, an index. It is only recorded."`
	Switch string `query:"switch" enum:"all,any,now,never" default:"all" doc:"When the version goes in service: when all living runners of its pools have it ready, when one has, at once, or not before POST /packs/{name}/switch."`
	Wait   string `query:"wait" default:"10s" doc:"How long the answer may wait for that, at most 2m."`
	body   io.Reader
	media  string
}

// Resolve takes the body as a stream: it is too large to be kept in memory.
func (in *packInput) Resolve(ctx huma.Context) []error {
	r, w := humachi.Unwrap(ctx)
	_ = ctx.SetReadDeadline(time.Now().Add(uploadTimeout)) // a recorder in a test has none
	deadline(w, uploadTimeout)
	in.body, in.media = http.MaxBytesReader(w, r.Body, maxArchive), r.Header.Get("Content-Type")
	return nil
}

type installOutput struct {
	Status int
	Body   wire.PackInstalled
}

func (s *Server) installPack(ctx context.Context, in *packInput) (*installOutput, error) {
	if media, _, err := mime.ParseMediaType(in.media); err == nil && (isJSON(media) || media == "multipart/form-data") {
		return nil, unsupported(media)
	}
	wait, err := installWait(in.Wait)
	if err != nil {
		return nil, err
	}
	done, err := s.record(ctx, in.body, definitions.Installed{Source: in.Source, Origin: in.Origin, By: caller(ctx)}, definitions.Switch(in.Switch))
	if err != nil {
		return nil, explainPack(ctx, err)
	}
	v, err := s.outcome(ctx, done.Version, wait)
	if err != nil {
		return nil, err
	}
	out := &installOutput{Status: statusOf(v), Body: wire.PackInstalled{
		Pack: s.packAfter(v, done.pack), Change: string(done.Change.Kind), Was: done.Change.PreviousVersion, Generation: v.Generation,
	}}
	return out, nil
}

// explainPack says what is wrong with a pack, or in its way.
func explainPack(ctx context.Context, err error) error {
	var mistakes pack.Mistakes
	var missing *definitions.MissingError
	var taken *definitions.ConflictError
	var used *definitions.InUseError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, wire.CodeTooLarge, "the archive is larger than 64 MiB")
	case errors.As(err, &mistakes):
		return mistaken(mistakes)
	case errors.Is(err, pack.ErrArchive):
		return problem(http.StatusUnprocessableEntity, wire.CodeInvalidPack, err.Error())
	case errors.As(err, &missing):
		return problem(http.StatusUnprocessableEntity, wire.CodeInvalidPack, missing.Error(), missingFields(missing)...)
	case errors.As(err, &taken):
		return conflict(taken.Error())
	case errors.As(err, &used):
		return inUse(ctx, used)
	}
	return err
}

func (s *Server) listPacks(ctx context.Context, in *Paging) (*reply[wire.Page[wire.Pack]], error) {
	reach := s.reach(ctx, access.View, access.Packs)
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	all := []wire.Pack{}
	for _, p := range v.Packs {
		if reach.HasPack(p.Name) {
			all = append(all, packOf(v, p))
		}
	}
	for _, next := range v.Versions {
		if _, installed := v.Packs[next.Pack]; !installed && reach.HasPack(next.Pack) && isNews(next) && newestOf(v, next) {
			all = append(all, packToCome(next))
		}
	}
	return pageOf(all, *in, func(p wire.Pack) string { return p.Name })
}

func (s *Server) showPack(_ context.Context, in *ByName) (*reply[wire.Pack], error) {
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	if p, ok := v.Packs[in.Name]; ok {
		return answer(packOf(v, p)), nil
	}
	if next := v.VersionsOf(in.Name); len(next) > 0 && isNews(next[0]) {
		return answer(packToCome(next[0])), nil
	}
	return nil, notFound("pack", in.Name)
}

type uninstallInput struct {
	ByName
	Force bool `query:"force" doc:"Remove rules of other packs that need it, too"`
}

func (s *Server) uninstallPack(ctx context.Context, in *uninstallInput) (*reply[wire.PackUninstalled], error) {
	s.notePack(ctx, in.Name, nil)
	if in.Force {
		if err := s.admitForce(ctx, in.Name); err != nil {
			return nil, err
		}
	}
	rules, err := s.store.Uninstall(ctx, in.Name, in.Force)
	if errors.Is(err, definitions.ErrNotFound) {
		return nil, notFound("pack", in.Name)
	}
	if err != nil {
		return nil, explainPack(ctx, err)
	}
	out := wire.PackUninstalled{Uninstalled: in.Name, RemovedRules: []string{}}
	for _, r := range rules {
		out.RemovedRules = append(out.RemovedRules, r.String())
	}
	slices.Sort(out.RemovedRules)
	s.log.InfoContext(ctx, "pack uninstalled", slog.String(logging.Pack, in.Name), slog.String("by", caller(ctx)), slog.Bool("force", in.Force),
		slog.Any("removed_rules", out.RemovedRules))
	return answer(out), s.defs.refresh(ctx)
}

// packOf gives a pack with the names of what it defines.
func packOf(v *view, p definitions.Pack) wire.Pack {
	state, coming := stateOf(v.VersionsOf(p.Name))
	return wire.Pack{
		State: state, Coming: coming,
		Name: p.Name, Version: p.Version, Description: p.Description, Author: p.Author, Digest: p.Digest, Source: p.Source,
		InstalledBy: p.By, Runtime: p.Runtime, Concurrency: pack.PackConcurrency{Limit: p.ConcurrencyLimit}, InstalledAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(),
		Actions: namesOf(v.Actions, p.Name), Triggers: namesOf(v.Triggers, p.Name),
		Sensors: namesOf(v.Sensors, p.Name), Rules: namesOf(v.Rules, p.Name),
	}
}

func namesOf[D any](all map[pack.Ref]D, packName string) []string {
	mine := map[string]bool{}
	for ref := range all {
		if ref.Pack == packName {
			mine[ref.Name] = true
		}
	}
	return sortedKeys(mine)
}
