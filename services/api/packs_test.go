package api_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// files is a pack's folder.
type files map[string]string

func hello(version string) files {
	return files{
		"pack.yaml":           "name: hello\nversion: " + version + "\ndescription: says hello\n",
		"actions/greet.yaml":  "description: greets\nruntime: shell\nentry_point: greet.sh\nparameters:\n  type: object\n  properties:\n    who: {type: string, default: world}\n",
		"actions/greet.sh":    "#!/bin/sh\necho hello\n",
		"triggers/met.yaml":   "description: somebody was met\npayload:\n  type: object\n",
		"rules/on-met.yaml":   "trigger: hello.met\naction: hello.greet\nparameters:\n  who: ${{ event.payload.who }}\n",
		"rules/when-met.yaml": "trigger: met\naction: greet\nwhen: event.payload.who == \"me\"\n",
	}
}

func (fs files) with(name, content string) files {
	fs[name] = content
	return fs
}

// archive packs the files as the command line does.
func (fs files) archive(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, content := range fs {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil { //nolint:gosec // actions are programs
			t.Fatal(err)
		}
	}
	_, archive, err := pack.Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// plainTar packs the files below a folder, as tar does.
func (fs files) plainTar(t *testing.T, folder string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range fs {
		if err := errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: folder + name, Mode: 0o755, Size: int64(len(content))}), write(w, content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}

func (f *fixture) install(archive any, query ...string) answer {
	f.t.Helper()
	return f.post("/api/v1/packs?"+strings.Join(query, "&"), archive, "Content-Type", "application/gzip")
}

func TestAPackIsInstalledUpgradedAndUninstalled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := want[wire.PackInstalled](f.install(hello("1.0.0").archive(t)), http.StatusOK)
	if p.Name != "hello" || p.Change != "installed" || p.Source != "api" || strings.Join(p.Actions, " ") != "greet" || len(p.Rules) != 2 || p.InstalledBy != "admin" {
		t.Errorf("installed %+v", p)
	}
	f.stored(p.Digest)
	same := want[wire.PackInstalled](f.install(hello("1.0.0").plainTar(t, "hello-main/")), http.StatusOK)
	if same.Change != "unchanged" || same.Digest != p.Digest {
		t.Errorf("the same files packed by others: %+v", same)
	}
	want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"hello.greet"}`), http.StatusAccepted)
	up := want[wire.PackInstalled](f.install(hello("1.1.0").archive(t)), http.StatusOK)
	if up.Change != "upgraded" || up.Was != "1.0.0" || up.Version != "1.1.0" || up.Digest == p.Digest {
		t.Errorf("upgraded %+v", up)
	}
	if got := want[wire.Pack](f.get("/api/v1/packs/hello"), http.StatusOK); got.Version != "1.1.0" || got.Digest != up.Digest {
		t.Errorf("shown %+v", got)
	}
	f.stored(p.Digest) // executions that wait still need it
	f.install(hello("1.2.0").archive(t), "source=other").refused(http.StatusConflict, wire.CodeConflict)
	if a := f.call(http.MethodDelete, "/api/v1/packs/hello", nil); a.status != http.StatusOK {
		t.Errorf("uninstall answered %d %s", a.status, a.body)
	}
	f.get("/api/v1/packs/hello").refused(http.StatusNotFound, wire.CodeNotFound)
	f.post("/api/v1/executions", `{"action":"hello.greet"}`).refused(http.StatusNotFound, wire.CodeNotFound)
	f.call(http.MethodDelete, "/api/v1/packs/hello", nil).refused(http.StatusNotFound, wire.CodeNotFound)
}

// stored checks that runners find the archive.
func (f *fixture) stored(digest string) {
	f.t.Helper()
	objects, err := f.bus.JS.ObjectStore(f.t.Context(), streams.ObjectsPacks)
	if err != nil {
		f.t.Fatal(err)
	}
	archive, err := objects.GetBytes(f.t.Context(), digest)
	if err != nil {
		f.t.Fatalf("archive %s: %v", digest, err)
	}
	dir := filepath.Join(f.t.TempDir(), "pack")
	got, err := pack.Unpack(bytes.NewReader(archive), dir, pack.DefaultLimits())
	if err != nil || got != digest {
		f.t.Errorf("archive %s unpacks as %s, %v", digest, got, err)
	}
}

func TestEveryMistakeOfAPackIsNamedAndNothingInstalled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	broken := hello("1.0.0").with("actions/greet.yaml", "runtime: cobol\nentry_point: nope.sh\ntiemout: 5s\n").
		with("rules/on-met.yaml", "trigger: hello.met\naction: hello.greet\nwhen: event.payload.(\n")
	p := f.install(broken.plainTar(t, "")).refused(http.StatusUnprocessableEntity, wire.CodeInvalidPack)
	if len(p.Errors) < 3 {
		t.Errorf("%d mistakes: %+v", len(p.Errors), p.Errors)
	}
	for _, e := range p.Errors {
		if e.Line == 0 || e.Column == 0 || !strings.HasPrefix(e.Field, e.File+":") || strings.Contains(e.Message, "/attune-install-") {
			t.Errorf("mistake %+v", e)
		}
	}
	missing := files{"pack.yaml": "name: lost\nversion: 1.0.0\n", "rules/r.yaml": "trigger: nowhere.x\naction: demo.echo\n"}
	f.install(missing.archive(t)).refused(http.StatusUnprocessableEntity, wire.CodeInvalidPack, "rules/r.yaml")
	for _, name := range []string{"hello", "lost"} {
		f.get("/api/v1/packs/"+name).refused(http.StatusNotFound, wire.CodeNotFound)
	}
}

func TestArchivesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, archive := range map[string]any{
		"empty":             "",
		"text":              "this is not an archive",
		"cut off":           string(hello("1.0.0").archive(t)[:200]),
		"leading out":       hello("1.0.0").plainTar(t, "../"),
		"absolute":          hello("1.0.0").plainTar(t, "/"),
		"names that fold":   hello("1.0.0").with("Pack.yaml", "x").plainTar(t, ""),
		"without pack.yaml": files{"a": "b"}.plainTar(t, ""),
	} {
		p := f.install(archive).refused(http.StatusUnprocessableEntity, wire.CodeInvalidPack)
		if strings.Contains(p.Detail, "attune-install-") {
			t.Errorf("%s: the detail shows a folder of the service: %s", name, p.Detail)
		}
	}
	f.post("/api/v1/packs", `{"name":"x"}`).refused(http.StatusUnsupportedMediaType, wire.CodeUnsupportedMedia)
	big := io.LimitReader(zeros{}, 65<<20)
	f.install(big).refused(http.StatusRequestEntityTooLarge, wire.CodeTooLarge)
	objects, err := f.bus.JS.ObjectStore(t.Context(), streams.ObjectsPacks)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := objects.List(t.Context()); !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Errorf("stored %v, %v", all, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAPackThatOthersNeedStaysUnlessForced(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	user := files{"pack.yaml": "name: user\nversion: 1.0.0\n", "rules/r.yaml": "trigger: hello.met\naction: hello.greet\n"}
	want[wire.PackInstalled](f.install(hello("1.0.0").archive(t)), http.StatusOK)
	want[wire.PackInstalled](f.install(user.archive(t)), http.StatusOK)
	f.call(http.MethodDelete, "/api/v1/packs/hello", nil).refused(http.StatusConflict, wire.CodeConflict)
	if a := f.call(http.MethodDelete, "/api/v1/packs/hello?force=true", nil); a.status != http.StatusOK {
		t.Errorf("forced, it answered %d %s", a.status, a.body)
	}
	f.get("/api/v1/rules/user.r").refused(http.StatusNotFound, wire.CodeNotFound)
}

func TestWithoutTheDatabaseNothingIsInstalled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.link.Cut()
	f.install(hello("1.0.0").archive(t)).refused(http.StatusServiceUnavailable, wire.CodeDatabaseDown)
	f.call(http.MethodDelete, "/api/v1/packs/demo", nil).refused(http.StatusServiceUnavailable, wire.CodeDatabaseDown)
	f.link.Restore()
	f.eventually("it can be installed again", func() bool { return f.install(hello("1.0.0").archive(t)).status == http.StatusOK })
}
