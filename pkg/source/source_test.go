package source

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/packindex"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var packFiles = map[string]string{
	"pack.yaml": "name: web\nversion: 1.0.0\n", "actions/a.yaml": "runtime: shell\nentry_point: a.sh\n", "actions/a.sh": "echo\n",
}

func write(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// packed gives an archive of the pack, and its digest.
func packed(t testing.TB) (archive []byte, digest string) {
	t.Helper()
	digest, archive, err := pack.Archive(write(t, t.TempDir(), packFiles))
	if err != nil {
		t.Fatal(err)
	}
	return archive, digest
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// refused checks that a request fails with a text, and leaves nothing behind.
func refused(t *testing.T, f Fetcher, r Request, want string) error {
	t.Helper()
	_, err := f.Fetch(t.Context(), r)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%+v: got %v, want %s", r, err, want)
	}
	return err
}

func fetched(t *testing.T, f Fetcher, r Request, digest, origin string) {
	t.Helper()
	c, err := f.Fetch(t.Context(), r)
	if err != nil || c.Digest != digest || c.Origin != origin || c.Pack.Name != "web" {
		t.Errorf("%+v: %s %q %v, want %s %q", r, c.Digest, c.Origin, err, digest, origin)
	}
}

func TestFoldersAndArchives(t *testing.T) {
	t.Parallel()
	archive, digest := packed(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "folder"), packFiles)
	write(t, filepath.Join(dir, "many", "web"), packFiles)
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	for name, text := range packFiles {
		out, err := w.Create("web-main/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"a.tar.zst": string(archive), "b.zip": z.String(), "-x": string(archive), "c": "no archive"})
	f := Fetcher{}
	at := func(name string) string { return filepath.Join(dir, name) }
	fetched(t, f, Request{Text: at("folder")}, digest, "folder "+at("folder"))
	fetched(t, f, Request{Text: at("many"), Subdir: "web"}, digest, "folder "+at("many/web"))
	fetched(t, f, Request{Text: at("a.tar.zst"), SHA256: strings.ToUpper(sum(archive))}, digest, "archive "+at("a.tar.zst"))
	fetched(t, f, Request{Text: at("b.zip")}, digest, "archive "+at("b.zip"))
	fetched(t, f, Request{Text: at("-x")}, digest, "archive "+at("-x"))
	if err := refused(t, f, Request{Text: at("a.tar.zst"), SHA256: sum(nil)}, sum(archive)); !errors.Is(err, ErrSum) {
		t.Error(err)
	}
	refused(t, f, Request{Text: at("folder"), SHA256: sum(nil)}, "only archives have one")
	refused(t, f, Request{Text: at("folder"), Ref: "v1"}, "only git repositories")
	refused(t, f, Request{Text: at("c")}, "archive refused")
	refused(t, f, Request{Text: at("b.zip"), Subdir: "none"}, "there is no folder none in it")
	refused(t, Fetcher{MaxBytes: 10}, Request{Text: at("b.zip")}, "is over 0 MiB")
	if err := refused(t, f, Request{Text: at("none.tar")}, "there is no such folder or archive"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestWhatCannotBeASource(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"-x": "begins with -", "--upload-pack=sh": "begins with -", "a\nb": "control characters",
		"ftp://host/a.tar": "the scheme", "file:///a": "the scheme", "ssh://host/a": "the scheme", "ext::sh -c x": "no such folder",
		"git+ssh://host/repo@v1": "want https", "git+ext://sh/r@v1": "want https", "git+http://example.org/repo@v1": "http is for this machine only",
		"git+https://-oProxyCommand=x/repo@v1": "not an address", "git+file://host/repo@v1": "git+file:///PATH", "git+file:repo@v1": "git+file:///PATH",
		"https://example.org/repo.git": "without a ref", "git+https://example.org/repo": "without a ref",
		"https://example.org/repo.git@-x": "not the name of", "https://example.org/repo.git@a..b": "not the name of", "https://example.org/repo.git@v1^0": "not the name of",
		"git+https://me:pw@example.org/repo@v1": "would be recorded", "https://me@example.org/a.tar": "would be recorded",
		"https://example.org/a.tar": "without the sha256", "https://example.org/a.tar#x": "after # stands",
		"https://example.org/a.tar#sha256=12": "without the sha256", "http://example.org/a.tar#sha256=" + sum(nil): "http is for this machine only",
		"https:///a.tar": "not an address", "github": "no index is set", "github@": "no such folder",
		"https://example.org/repo.git@v1#sha256=" + sum(nil): "name a commit instead",
	} {
		refused(t, Fetcher{}, Request{Text: text}, want)
	}
	for want, r := range map[string]Request{
		"subdir \"../x\"":     {Text: ".", Subdir: "../x"},
		"ref \"-x\"":          {Text: "git+https://h/r", Ref: "-x"},
		"names two refs":      {Text: "git+https://h/r@v1", Ref: "v2"},
		"two different sums":  {Text: "https://h/r#sha256=" + sum(nil), SHA256: sum([]byte("x"))},
		"want 64 hexadecimal": {Text: ".", SHA256: "xyz"},
		"for a repository":    {Text: "https://h/r#sha256=" + sum(nil), Ref: "v2"},
		"with a sha256 or":    {Text: "git+https://h/r@v1", SHA256: sum(nil)},
	} {
		refused(t, Fetcher{}, r, want)
	}
}

// site is a web server of files and of what goes wrong.
func site(t testing.TB, files map[string][]byte) (*httptest.Server, *http.ServeMux) {
	t.Helper()
	mux := http.NewServeMux()
	for name, content := range files {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	}
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	return s, mux
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	archive, digest := packed(t)
	s, mux := site(t, map[string][]byte{"a.tar.zst": archive})
	open := httptest.NewServer(http.RedirectHandler(s.URL+"/a.tar.zst", http.StatusFound))
	defer open.Close()
	to := func(path, target string) { mux.Handle(path, http.RedirectHandler(target, http.StatusFound)) }
	to("/once", "/a.tar.zst")
	to("/loop", "/loop")
	to("/down", open.URL)
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999999") })
	ended := make(chan struct{})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	})
	defer close(ended)
	var last int64
	f := Fetcher{Client: s.Client(), MaxBytes: 4 << 20, Progress: func(done, total int64) {
		if last = done; total > 0 && total < done {
			t.Error(done, total)
		}
	}}
	hash := "#sha256=" + sum(archive)
	fetched(t, f, Request{Text: s.URL + "/a.tar.zst" + hash}, digest, s.URL+"/a.tar.zst"+hash)
	if last != int64(len(archive)) {
		t.Error("progress ended at", last)
	}
	fetched(t, f, Request{Text: s.URL + "/once", SHA256: sum(archive)}, digest, s.URL+"/once"+hash)
	fetched(t, f, Request{Text: open.URL + hash}, digest, open.URL+hash)
	if err := refused(t, f, Request{Text: s.URL + "/a.tar.zst#sha256=" + sum(nil)}, sum(archive)); !errors.Is(err, ErrSum) {
		t.Error(err)
	}
	refused(t, f, Request{Text: s.URL + "/none" + hash}, "404 Not Found")
	refused(t, f, Request{Text: s.URL + "/loop" + hash}, "more than 5 redirections")
	refused(t, f, Request{Text: s.URL + "/down" + hash}, "sent from https to http://")
	refused(t, f, Request{Text: s.URL + "/endless" + hash}, "over 4 MiB")
	refused(t, f, Request{Text: s.URL + "/huge" + hash}, "over 4 MiB")
	refused(t, Fetcher{}, Request{Text: s.URL + "/a.tar.zst" + hash}, "certificate")
	f.Timeout = 200 * time.Millisecond
	refused(t, f, Request{Text: s.URL + "/silent" + hash}, "it took longer than 200ms")
}

func TestNamesComeFromASignedIndex(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, err := packindex.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Fetcher{}.Fetch(t.Context(), Request{Text: write(t, t.TempDir(), packFiles)})
	if err != nil {
		t.Fatal(err)
	}
	add := packindex.Added{Pack: c.Pack, Digest: c.Digest, Archive: c.Archive, Created: time.Unix(1e9, 0)}
	if _, err := packindex.Build(dir, []packindex.Added{add}, &k); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewTLSServer(http.FileServer(http.Dir(dir)))
	defer s.Close()
	for _, index := range []string{dir, s.URL, s.URL + "/"} {
		f := Fetcher{Index: index, Keys: []packindex.PublicKey{k.Public()}, State: t.TempDir(), Client: s.Client()}
		for _, text := range []string{"web", "web@1.0.0", "web@^1"} {
			fetched(t, f, Request{Text: text}, c.Digest, "index "+index+" web@1.0.0")
		}
		refused(t, f, Request{Text: "app"}, `pack "app" is not in the index`)
		refused(t, f, Request{Text: "web@2"}, "which has 1.0.0")
		f.Keys = nil
		refused(t, f, Request{Text: "web"}, "no key is trusted")
	}
	f := Fetcher{Index: dir, Keys: []packindex.PublicKey{k.Public()}, State: t.TempDir()}
	list, err := os.ReadFile(filepath.Join(dir, packindex.FileName))
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "web-1.0.0.tar.zst")
	if err := os.WriteFile(archive, append(c.Archive, 'x'), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, f, Request{Text: "web"}, "larger than")
	c.Archive[len(c.Archive)-1] ^= 1
	if err := os.WriteFile(archive, c.Archive, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, f, Request{Text: "web"}, "wrong sha256")
	signed := func(text string) {
		sig, err := k.Sign([]byte(text))
		if err = errors.Join(err, os.WriteFile(filepath.Join(dir, packindex.FileName), []byte(text), 0o644),
			os.WriteFile(filepath.Join(dir, packindex.SignatureName), sig, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	signed(strings.Replace(string(list), `"generation": 1`, `"generation": 0`, 1))
	if err := refused(t, f, Request{Text: "web"}, "generation 0, and 1 was seen"); !errors.Is(err, ErrOldIndex) {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, packindex.SignatureName)); err != nil {
		t.Fatal(err)
	}
	refused(t, f, Request{Text: "web"}, "no signature")
}

// An index that names an archive of something else is its maker's mistake, and nothing is installed of it.
func TestAnArchiveMustHoldWhatTheIndexSays(t *testing.T) {
	t.Parallel()
	archive, _ := packed(t)
	dir := t.TempDir()
	k, err := packindex.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	add := packindex.Added{Pack: pack.Pack{Name: "app", Version: "1.0.0"}, Digest: sum(nil), Archive: archive}
	if _, err := packindex.Build(dir, []packindex.Added{add}, &k); err != nil {
		t.Fatal(err)
	}
	f := Fetcher{Index: dir, Keys: []packindex.PublicKey{k.Public()}}
	refused(t, f, Request{Text: "app"}, "holds web 1.0.0")
}

func TestMistakesAreThoseOfThePack(t *testing.T) {
	t.Parallel()
	dir := write(t, t.TempDir(), map[string]string{"pack.yaml": "name: Web\n"})
	_, err := Fetcher{}.Fetch(t.Context(), Request{Text: dir})
	if ms, ok := errors.AsType[pack.Mistakes](err); !ok || len(ms) != 2 || ms[0].File != "pack.yaml" {
		t.Error(err)
	}
}

// FuzzOpener checks that what a user types is a source or is refused, and that no ref or address of git can be an option.
func FuzzOpener(f *testing.F) {
	for _, text := range []string{"web@1.0", "git+https://h/r@v1", "https://h/r.git@-x", "https://h/a#sha256=1", "git+file:///r@v", "-x", "git+https://-o/x@v"} {
		f.Add(text, "")
	}
	f.Fuzz(func(t *testing.T, text, ref string) {
		_, _ = Fetcher{}.opener(Request{Text: text, Ref: ref})
		if repo, err := repositoryOf(Request{Text: text, Ref: ref}); err == nil {
			for _, arg := range []string{repo.url, repo.ref} {
				if strings.HasPrefix(arg, "-") || arg == "" {
					t.Error(fmt.Sprintf("%q", arg), text)
				}
			}
		}
	})
}
