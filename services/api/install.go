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

	"github.com/nats-io/nats.go/jetstream"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// installed is what became of an archive.
type installed struct {
	name   string
	change definitions.Change
}

// install checks an archive, puts it where runners find it, and then lets the definitions refer to it. Archives
// are made anew from their files, so that the same files are the same archive, whoever packed them.
func (s *Server) install(ctx context.Context, archive io.Reader, source string) (installed, error) {
	select {
	case s.installing <- struct{}{}:
	case <-ctx.Done():
		return installed{}, context.Cause(ctx)
	}
	defer func() { <-s.installing }()
	p, digest, packed, err := s.checkArchive(archive)
	if err != nil {
		return installed{}, err
	}
	if err := s.awaitBus(ctx); err != nil {
		return installed{}, err
	}
	if err := s.keepArchive(ctx, digest, packed); err != nil {
		return installed{}, err
	}
	change, err := s.store.Install(ctx, definitions.Installed{Pack: p, Digest: digest, Source: source, By: admin})
	if err != nil {
		return installed{}, err
	}
	s.log.InfoContext(ctx, "pack installed", slog.String(logging.Pack, p.Name), slog.String("version", p.Version),
		slog.String("digest", digest), slog.String("change", string(change.Kind)))
	return installed{name: p.Name, change: change}, nil
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

// place gives "file:line:column" as far as it is known.
func place(m pack.Mistake) string {
	if m.File == "" || m.Line == 0 {
		return m.File
	}
	return fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Column)
}
