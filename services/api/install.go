package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// recorded is what became of an archive that was taken.
type recorded struct {
	definitions.Recorded
	pack pack.Pack
}

// record checks an archive, puts it where runners find it, and has it recorded as a version that is on its way.
// Archives are made anew from their files, so that the same files are the same archive, whoever packed them.
func (s *Server) record(ctx context.Context, archive io.Reader, in definitions.Installed, when definitions.Switch) (recorded, error) {
	select {
	case s.installing <- struct{}{}:
	case <-ctx.Done():
		return recorded{}, context.Cause(ctx)
	}
	defer func() { <-s.installing }()
	p, digest, packed, err := s.checkArchive(archive)
	if err != nil {
		return recorded{}, err
	}
	s.notePack(ctx, p.Name, map[string]string{"version": p.Version, "digest": digest, "source": in.Source, "origin": in.Origin})
	if err := s.admitPack(ctx, p); err != nil {
		return recorded{}, err
	}
	if err := s.awaitBus(ctx); err != nil {
		return recorded{}, err
	}
	if err := s.keepArchive(ctx, digest, packed); err != nil {
		return recorded{}, err
	}
	in.Pack, in.Digest = p, digest
	done, err := s.store.Record(ctx, in, when)
	if err != nil {
		return recorded{}, err
	}
	failpoint.Hit(failpoint.InstallRecorded)
	s.log.InfoContext(ctx, "pack recorded", slog.String(logging.Pack, p.Name), slog.String("version", p.Version),
		slog.String("digest", digest), slog.String("source", in.Source), slog.String("origin", in.Origin), slog.String("by", in.By), slog.String("switch", string(when)),
		slog.String("change", string(done.Change.Kind)), slog.Int("generation", done.Version.Generation))
	// Had this very version been on its way out, its archive may have gone before it was recorded.
	return recorded{Recorded: done, pack: p}, s.keepArchive(ctx, digest, packed)
}

// checkArchive unpacks an archive into a folder that is gone afterwards, and reads the pack in it.
func (s *Server) checkArchive(archive io.Reader) (p pack.Pack, digest string, packed []byte, err error) {
	dir, err := os.MkdirTemp(s.config.TempDir, "attune-install-")
	if err != nil {
		return p, "", nil, fmt.Errorf("check archive: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder := filepath.Join(dir, "pack")
	if _, err := pack.Unpack(archive, folder, pack.DefaultLimits()); err != nil {
		return p, "", nil, err
	}
	folder = pack.Root(folder)
	if p, err = pack.Load(folder); err != nil {
		return p, "", nil, err
	}
	digest, packed, err = pack.Archive(folder)
	return p, digest, packed, err
}

// notePack says for the audit which version of a pack is in service, and what was asked for.
func (s *Server) notePack(ctx context.Context, name string, is map[string]string) {
	var was any
	if v, err := s.defs.view(); err == nil {
		if p, ok := v.Packs[name]; ok {
			was = map[string]string{"version": p.Version, "digest": p.Digest}
		}
	}
	if is == nil {
		note(ctx, name, was, nil)
		return
	}
	note(ctx, name, was, is)
}

// keepArchive stores an archive under its digest, once.
func (s *Server) keepArchive(ctx context.Context, digest string, archive []byte) error {
	objects, err := s.config.Bus.JS.ObjectStore(ctx, streams.ObjectsPacks)
	if err != nil {
		return fmt.Errorf("open object bucket %s: %w", streams.ObjectsPacks, err)
	}
	switch _, err := objects.GetInfo(ctx, digest); {
	case err == nil:
		return nil
	case !errors.Is(err, jetstream.ErrObjectNotFound):
		return fmt.Errorf("look for archive %s: %w", digest, err)
	}
	return s.config.Bus.PutObject(ctx, streams.ObjectsPacks, jetstream.ObjectMeta{Name: digest}, archive)
}

// mistaken reports every mistake in a pack's files.
func mistaken(mistakes pack.Mistakes) error {
	fields := make([]wire.FieldError, len(mistakes))
	for i, m := range mistakes {
		fields[i] = wire.FieldError{Field: place(m), Message: m.Message, File: m.File, Line: m.Line, Column: m.Column}
	}
	detail := fmt.Sprintf("the pack has %d mistakes; nothing was installed", len(fields))
	if len(fields) == 1 {
		detail = "the pack has a mistake; nothing was installed: " + fields[0].String()
	}
	return problem(http.StatusUnprocessableEntity, wire.CodeInvalidPack, detail, fields...)
}

func missingFields(e *definitions.MissingError) []wire.FieldError {
	fields := make([]wire.FieldError, len(e.Needs))
	for i, u := range e.Needs {
		fields[i] = wire.FieldError{
			Field:   "rules/" + u.Rule.Name + ".yaml",
			Message: fmt.Sprintf("refers to %s %s, which is not installed", u.Kind, u.Needs),
			File:    "rules/" + u.Rule.Name + ".yaml",
		}
	}
	return fields
}

// inUse says which rules need what would go, as far as the caller may see them.
func inUse(ctx context.Context, e *definitions.InUseError) error {
	reach := access.From(ctx).Reach(access.Right{Verb: access.View, Kind: access.Rules})
	seen := *e
	seen.Uses = slices.DeleteFunc(slices.Clone(e.Uses), func(u definitions.Use) bool { return !reach.HasPack(u.Rule.Pack) })
	if len(seen.Uses) == 0 {
		return conflict("pack " + e.Pack + " is needed by rules of packs that you may not see")
	}
	return problem(http.StatusConflict, wire.CodeConflict, seen.Error(), usingFields(&seen)...)
}

// usingFields names the rules that need what would go.
func usingFields(e *definitions.InUseError) []wire.FieldError {
	fields := make([]wire.FieldError, len(e.Uses))
	for i, u := range e.Uses {
		fields[i] = wire.FieldError{Field: "rule " + u.Rule.String(), Message: fmt.Sprintf("needs %s %s", u.Kind, u.Needs)}
	}
	return fields
}

// place gives "file:line:column" as far as it is known.
func place(m pack.Mistake) string {
	if m.File == "" || m.Line == 0 {
		return m.File
	}
	return fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Column)
}
