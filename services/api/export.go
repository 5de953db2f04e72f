package api

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// exportMode is the mode of every file of an archive: what an execution wrote is not for everybody.
const exportMode = 0o600

func (s *Server) routeExport(a huma.API) {
	o := op(mayOne(access.View, access.Executions), http.MethodGet, "/executions/{id}/export", "export-execution", "Executions",
		"Take an execution with its output as an archive", http.StatusNotFound)
	o.Description = "A tar archive: execution.json, attempts.json, result.json where there is one, stdout.log and stderr.log, and, as the last " +
		"file, manifest.json, which says how long each is, its SHA-256, and what of the output is missing. Of an execution that runs it " +
		"holds what there is now. An archive without manifest.json was cut off."
	register(s, a, o, s.exportExecution)
	documentAnswer(a, o, "application/x-tar")
}

func (s *Server) exportExecution(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
	e, err := s.seen(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.streaming(func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
		x, err := onBus(ctx, s, func(ctx context.Context) (*export, error) { return s.newExport(ctx, e) })
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", "application/x-tar")
		h.Set("Content-Disposition", `attachment; filename="`+e.ID+`.tar"`)
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		if err := x.write(ctx, s.logs, &patient{w: w, patience: s.config.SlowClient}); err != nil {
			panic(http.ErrAbortHandler) // a clean end would say that this was all
		}
		return nil
	}), nil
}

// export is an execution as an archive. The names in it are always the same, whatever the execution wrote.
type export struct {
	execution wire.Execution
	sizes     map[string]int64 // of the streams that are in it
	manifest  exportManifest
	time      time.Time // of every file
}

// exportManifest is manifest.json.
type exportManifest struct {
	logs.Manifest
	RemovedAt *time.Time   `json:"log_removed_at,omitempty"` // of an archive without output: retention had it removed
	Files     []exportFile `json:"files"`
}

// exportFile says what a file of the archive holds.
type exportFile struct {
	Name    string      `json:"name"`
	Bytes   int64       `json:"bytes"`
	SHA256  string      `json:"sha256"`
	Missing []logs.Span `json:"missing,omitempty"` // what could not be read any more; a line says so in its place
}

// newExport finds out what there is. The manifest is taken before the sizes: what is stored meanwhile is only longer.
func (s *Server) newExport(ctx context.Context, e wire.Execution) (*export, error) {
	x := &export{execution: e, sizes: map[string]int64{}, time: exportTime(e)}
	if x.manifest.RemovedAt = e.RemovedAt; e.RemovedAt != nil {
		x.manifest.Manifest = logs.Manifest{Execution: e.ID}
		return x, nil
	}
	var err error
	if x.manifest.Manifest, err = s.logs.Known(ctx, e.ID); err != nil {
		return nil, err
	}
	x.manifest.Streams = withoutText(x.manifest.Streams)
	for _, stream := range logs.Names() {
		if x.sizes[stream], err = s.logs.Size(ctx, e.ID, stream); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// withoutText leaves out output that is kept in the manifest itself: it is in a file of its own.
func withoutText(all map[string]logs.StreamManifest) map[string]logs.StreamManifest {
	out := make(map[string]logs.StreamManifest, len(all))
	for stream, m := range all {
		m.Inline = nil
		out[stream] = m
	}
	return out
}

// exportTime gives the same time to the same archive: that of the last change of the execution.
func exportTime(e wire.Execution) time.Time {
	t := e.RequestedAt
	if e.StartedAt != nil {
		t = *e.StartedAt
	}
	if e.EndedAt != nil {
		t = *e.EndedAt
	}
	return t.UTC().Truncate(time.Second)
}

func (x *export) write(ctx context.Context, store *logs.Store, to io.Writer) error {
	w := tar.NewWriter(to)
	if err := x.documents(w); err != nil {
		return err
	}
	for _, stream := range logs.Names() {
		if size, ok := x.sizes[stream]; ok {
			if err := x.log(ctx, store, w, stream, size); err != nil {
				return err
			}
		}
	}
	manifest, err := indented(x.manifest)
	if err != nil {
		return err
	}
	if err := x.file(w, "manifest.json", int64(len(manifest)), filledWith(manifest)); err != nil {
		return err
	}
	return w.Close()
}

// documents writes what is known of the execution besides its output.
func (x *export) documents(w *tar.Writer) error {
	attempts := append([]streams.Attempt{}, x.execution.Previous...)
	if e := x.execution; e.StartedAt != nil {
		attempts = append(attempts, streams.Attempt{
			Attempt: e.Attempt, Status: e.Status, Runner: e.Runner, StartedAt: e.StartedAt, EndedAt: e.EndedAt, ExitCode: e.ExitCode, Error: e.Error,
		})
	}
	for _, doc := range []struct {
		name string
		what any
	}{{"execution.json", x.execution}, {"attempts.json", attempts}, {"result.json", x.execution.Result}} {
		if doc.name == "result.json" && !x.hasResult() {
			continue
		}
		text, err := indented(doc.what)
		if err != nil {
			return err
		}
		if err := x.file(w, doc.name, int64(len(text)), filledWith(text)); err != nil {
			return err
		}
	}
	return nil
}

// hasResult tells whether there is a result: history shows none as null.
func (x *export) hasResult() bool {
	return x.execution.Result != nil && string(x.execution.Result) != "null"
}

func (x *export) log(ctx context.Context, store *logs.Store, w *tar.Writer, stream string, size int64) error {
	return x.file(w, stream+".log", size, func(to io.Writer) ([]logs.Span, error) {
		return store.Copy(ctx, to, x.execution.ID, stream, size)
	})
}

// file writes a file of exactly so many bytes and notes what it holds.
func (x *export) file(w *tar.Writer, name string, size int64, fill func(io.Writer) ([]logs.Span, error)) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: exportMode, ModTime: x.time}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	sum := sha256.New()
	missing, err := fill(io.MultiWriter(w, sum))
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	x.manifest.Files = append(x.manifest.Files, exportFile{Name: name, Bytes: size, SHA256: hex.EncodeToString(sum.Sum(nil)), Missing: missing})
	return nil
}

// filledWith fills a file with bytes that are there.
func filledWith(text []byte) func(io.Writer) ([]logs.Span, error) {
	return func(w io.Writer) ([]logs.Span, error) {
		_, err := w.Write(text)
		return nil, err
	}
}

// indented is a document for people and programs.
func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
