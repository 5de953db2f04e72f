package api

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
)

// Bounds of an upload.
const (
	maxArchive    = 64 << 20
	uploadTimeout = 5 * time.Minute
)

func (s *Server) routePacks(a huma.API) {
	const tag = "Packs"
	install := op(http.MethodPost, "/packs", "install-pack", tag, "Install a pack, or put another version in its place",
		http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	install.Description = "The body is a tar archive of the pack's folder, plain or compressed with gzip or zstd. Every mistake in any file is reported at once, " +
		"with file, line and column, and then nothing is installed."
	registerWithin(s, a, install, uploadTimeout, s.installPack)
	documentUpload(a, install, "application/gzip", "application/zstd", "application/x-tar")
	register(s, a, op(http.MethodGet, "/packs", "list-packs", tag, "List packs"), s.listPacks)
	register(s, a, op(http.MethodGet, "/packs/{name}", "show-pack", tag, "Show a pack", http.StatusNotFound), s.showPack)
	register(s, a, op(http.MethodDelete, "/packs/{name}", "uninstall-pack", tag, "Remove a pack with all that it defines",
		http.StatusNotFound, http.StatusConflict), s.uninstallPack)
}

type packInput struct {
	Source string `query:"source" maxLength:"200" default:"api" doc:"Who brings the pack. A pack stays with its source: another cannot replace it."`
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

func (s *Server) installPack(ctx context.Context, in *packInput) (*reply[wire.PackInstalled], error) {
	if media, _, err := mime.ParseMediaType(in.media); err == nil && (isJSON(media) || media == "multipart/form-data") {
		return nil, unsupported(media)
	}
	done, err := s.install(ctx, in.body, in.Source)
	if err != nil {
		return nil, explainPack(err)
	}
	if err := s.defs.refresh(ctx); err != nil {
		return nil, err
	}
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	return answer(wire.PackInstalled{
		Pack: packOf(v, v.Packs[done.name]), Change: string(done.change.Kind), Was: done.change.PreviousVersion,
	}), nil
}

// explainPack says what is wrong with a pack, or in its way.
func explainPack(err error) error {
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
		return conflict(used.Error())
	}
	return err
}

func (s *Server) listPacks(_ context.Context, in *Paging) (*reply[wire.Page[wire.Pack]], error) {
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	all := []wire.Pack{}
	for _, p := range v.Packs {
		all = append(all, packOf(v, p))
	}
	return pageOf(all, *in, func(p wire.Pack) string { return p.Name })
}

func (s *Server) showPack(_ context.Context, in *ByName) (*reply[wire.Pack], error) {
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	p, ok := v.Packs[in.Name]
	if !ok {
		return nil, notFound("pack", in.Name)
	}
	return answer(packOf(v, p)), nil
}

type uninstallInput struct {
	ByName
	Force bool `query:"force" doc:"Remove rules of other packs that need it, too"`
}

func (s *Server) uninstallPack(ctx context.Context, in *uninstallInput) (*nothing, error) {
	_, err := s.store.Uninstall(ctx, in.Name, in.Force)
	if errors.Is(err, definitions.ErrNotFound) {
		return nil, notFound("pack", in.Name)
	}
	if err != nil {
		return nil, explainPack(err)
	}
	return &nothing{}, s.defs.refresh(ctx)
}

// packOf gives a pack with the names of what it defines.
func packOf(v *view, p definitions.Pack) wire.Pack {
	return wire.Pack{
		Name: p.Name, Version: p.Version, Description: p.Description, Author: p.Author, Digest: p.Digest, Source: p.Source,
		InstalledBy: p.By, Runtime: p.Runtime, InstalledAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(),
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
