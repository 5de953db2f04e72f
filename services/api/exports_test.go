package api_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// archived is what a test reads of an exported execution.
type archived struct {
	names    []string
	content  map[string]string
	manifest struct {
		Complete bool                           `json:"complete"`
		Removed  *time.Time                     `json:"log_removed_at"`
		Streams  map[string]logs.StreamManifest `json:"streams"`
		Files    []struct {
			Name    string
			Bytes   int64
			SHA256  string
			Missing []logs.Span
		}
	}
}

// exported takes an execution and checks what every archive must be: named as it says, of one time, and true to its
// manifest.
func (f *fixture) exported(id string) (archived, []byte) {
	f.t.Helper()
	a := f.get("/api/v1/executions/" + id + "/export")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/x-tar" ||
		a.header.Get("Content-Disposition") != `attachment; filename="`+id+`.tar"` {
		f.t.Fatalf("%d %v: %s", a.status, a.header, a.body)
	}
	return f.unpack(a.body), a.body
}

func (f *fixture) unpack(archive []byte) archived {
	f.t.Helper()
	out := archived{content: map[string]string{}}
	times := map[int64]bool{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			f.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || h.Mode != 0o600 || h.Typeflag != tar.TypeReg || h.Uid != 0 || h.Uname != "" {
			f.t.Errorf("%s: %v, header %+v", h.Name, err, h)
		}
		out.names, out.content[h.Name], times[h.ModTime.Unix()] = append(out.names, h.Name), string(text), true
	}
	if len(times) != 1 {
		f.t.Errorf("files of %d times", len(times))
	}
	if err := json.Unmarshal([]byte(out.content["manifest.json"]), &out.manifest); err != nil {
		f.t.Fatalf("%v: %s", err, out.content["manifest.json"])
	}
	for _, file := range out.manifest.Files {
		sum := sha256.Sum256([]byte(out.content[file.Name]))
		if file.Bytes != int64(len(out.content[file.Name])) || file.SHA256 != hex.EncodeToString(sum[:]) {
			f.t.Errorf("the manifest says of %s %+v", file.Name, file)
		}
	}
	return out
}

const raw = "\x1b]0;bad\x07\xff\x00\nlast"

func TestAnExecutionIsExported(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.requestEcho().ID
	f.move(id, streams.Running)
	w := f.writer(id)
	long := strings.Repeat("a line of output\n", 10_000) // more than is kept in a manifest
	say(t, w.Stdout(), long)
	say(t, w.Stderr(), raw)
	if _, err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.move(id, streams.Succeeded)
	got, archive := f.exported(id)
	names := []string{"execution.json", "attempts.json", "result.json", "stdout.log", "stderr.log", "manifest.json"}
	if !cmp.Equal(got.names, names) || got.content["stdout.log"] != long || got.content["stderr.log"] != raw || !got.manifest.Complete {
		t.Errorf("got %v with %d and %q, %+v", got.names, len(got.content["stdout.log"]), got.content["stderr.log"], got.manifest)
	}
	if n := len(got.manifest.Streams["stdout"].Segments); n != 1 || strings.Contains(got.content["manifest.json"], `"inline"`) {
		t.Errorf("%d segments in %s", n, got.content["manifest.json"])
	}
	shown := want[wire.Execution](f.get("/api/v1/executions/"+id), http.StatusOK)
	var e wire.Execution
	if err := json.Unmarshal([]byte(got.content["execution.json"]), &e); err != nil || e.ID != id || e.Status != streams.Succeeded || !cmp.Equal(e.Output, shown.Output) {
		t.Errorf("%v: %s", err, got.content["execution.json"])
	}
	if !strings.Contains(got.content["attempts.json"], `"attempt": 1`) {
		t.Errorf("attempts %s", got.content["attempts.json"])
	}
	if again := f.get("/api/v1/executions/" + id + "/export").body; !bytes.Equal(archive, again) {
		t.Error("the same execution was exported as another archive")
	}
	systemTar(t, archive, names)
}

// systemTar has the machine's tar read an archive.
func systemTar(t *testing.T, archive []byte, want []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tar", "-tvf", file).CombinedOutput()
	var names []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		names = append(names, fields[len(fields)-1])
		if fields[0] != "-rw-------" {
			t.Errorf("tar shows %s", line)
		}
	}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("%v: tar lists\n%s", err, out)
	}
}

// published returns when the first output of an execution is on the bus.
func (f *fixture) published(id string) {
	f.t.Helper()
	store, err := logs.Open(f.t.Context(), logs.Config{Bus: f.bus})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, err := range store.Read(f.t.Context(), logs.Request{Execution: id, Stream: logs.Stdout, Follow: true}) {
		if err != nil {
			f.t.Fatal(err)
		}
		return
	}
}

func TestWhatRunsIsExportedAsFarAsItIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.requestEcho().ID
	if got, _ := f.exported(id); got.manifest.Complete || got.content["stdout.log"] != "" || strings.TrimSpace(got.content["attempts.json"]) != "[]" {
		t.Errorf("waiting: %v %+v", got.content, got.manifest)
	}
	f.move(id, streams.Running)
	w := f.writer(id)
	say(t, w.Stdout(), "so far\n")
	f.published(id)
	if got, _ := f.exported(id); got.manifest.Complete || got.content["stdout.log"] != "so far\n" {
		t.Errorf("running: %q %+v", got.content["stdout.log"], got.manifest)
	}
	if _, err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsMissingOfAnExportIsSaidInItsPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.requestEcho().ID
	f.move(id, streams.Running)
	w := f.writer(id)
	text := strings.Repeat("0123456789abcde\n", 8<<10)
	say(t, w.Stdout(), text)
	if _, err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	objects, err := f.bus.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	if err := objects.Delete(t.Context(), id+"/stdout.0000.zst"); err != nil {
		t.Fatal(err)
	}
	got, _ := f.exported(id)
	out := got.content["stdout.log"]
	if len(out) != len(text) || !strings.HasPrefix(out, "[attune: bytes 0 to 131071 are missing]    ") || !strings.HasSuffix(out, "\n") {
		t.Errorf("%d bytes: %.80q", len(out), out)
	}
	for _, file := range got.manifest.Files {
		if file.Name == "stdout.log" && !cmp.Equal(file.Missing, []logs.Span{{Offset: 0, Bytes: int64(len(text))}}) {
			t.Errorf("missing %+v", file.Missing)
		}
	}
}

func TestOnlyExecutionsAreExported(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, id := range []string{newID(), "x", "..%2f..%2fetc%2fpasswd", strings.Repeat("a", 2000)} {
		f.get("/api/v1/executions/"+id+"/export").refused(http.StatusNotFound, wire.CodeNotFound)
	}
}

func TestARemovedLogIsSaidToBeRemovedInTheExport(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	id := f.requestEcho().ID
	f.move(id, streams.Running, streams.Succeeded)
	f.recorded(id, streams.Succeeded)
	if _, err := f.db.Exec(t.Context(), `UPDATE executions SET log_settled_at = now(), log_removed_at = now(), log_removed_by = 'age' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	got, _ := f.exported(id)
	if !slices.Equal(got.names, []string{"execution.json", "attempts.json", "result.json", "manifest.json"}) || got.manifest.Removed == nil {
		t.Errorf("%v: %s", got.names, got.content["manifest.json"])
	}
}
