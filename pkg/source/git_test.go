package source

import (
	"context"
	"errors"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repo is a real git repository.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git here")
	}
	r := repo{t, t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repo) commit(files map[string]string) string {
	r.t.Helper()
	write(r.t, r.dir, files)
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "-m", "x")
	return r.git("rev-parse", "HEAD")
}

func TestRepositories(t *testing.T) {
	t.Parallel()
	_, digest := packed(t)
	r := newRepo(t)
	first := r.commit(packFiles)
	r.git("tag", "-a", "-m", "x", "v1.0.0")
	r.git("tag", "release/1")
	later := r.commit(map[string]string{"pack.yaml": "name: web\nversion: 2.0.0\n", "packs/web/pack.yaml": packFiles["pack.yaml"]})
	r.git("branch", "feature/x", first)
	url := "git+file://" + r.dir
	f := Fetcher{}
	fetched(t, f, Request{Text: url + "@v1.0.0"}, digest, url+"@v1.0.0 (commit "+first+")")
	fetched(t, f, Request{Text: url, Ref: "release/1"}, digest, url+"@release/1 (commit "+first+")")
	fetched(t, f, Request{Text: url + "@" + first}, digest, url+"@"+first)
	fetched(t, f, Request{Text: url, Ref: "feature/x", AllowBranch: true}, digest, url+"@feature/x (commit "+first+")")
	if c, err := f.Fetch(t.Context(), Request{Text: url + "@" + later, Subdir: "packs/web/"}); err != nil || c.Pack.Version != "1.0.0" ||
		c.Origin != url+"@"+later+", folder packs/web" {
		t.Error(c.Origin, err)
	}
	if err := refused(t, f, Request{Text: url + "@main"}, later); !errors.Is(err, ErrBranch) {
		t.Error(err)
	}
	refused(t, f, Request{Text: url + "@v9"}, "there is no tag or branch v9")
	refused(t, f, Request{Text: url + "@" + strings.Repeat("a", 40)}, "aaaa")
	refused(t, f, Request{Text: url + "@" + first[:10]}, "a commit needs its full id")
	refused(t, f, Request{Text: url + "@v1.0.0", Subdir: "none"}, "there is no folder none")
	refused(t, f, Request{Text: "git+file://" + t.TempDir() + "@v1"}, "does not appear to be a git repository")
}

// A repository cannot run anything here, nor put in what is no plain file.
func TestARepositoryIsOnlyRead(t *testing.T) {
	t.Parallel()
	r, mark := newRepo(t), filepath.Join(t.TempDir(), "ran")
	hook := "#!/bin/sh\ntouch " + mark + "\n"
	for _, name := range []string{"post-checkout", "post-merge", "reference-transaction", "post-index-change"} {
		write(t, filepath.Join(r.dir, ".git", "hooks"), map[string]string{name: hook})
	}
	r.git("config", "filter.x.smudge", "touch "+mark)
	r.commit(packFiles)
	write(t, r.dir, map[string]string{".gitattributes": "* filter=x\n"})
	r.commit(nil)
	r.git("tag", "v1")
	if err := os.Symlink("/etc/passwd", filepath.Join(r.dir, "link")); err != nil {
		t.Fatal(err)
	}
	r.commit(nil)
	r.git("tag", "v2")
	url := "git+file://" + r.dir
	if _, err := (Fetcher{}).Fetch(t.Context(), Request{Text: url + "@v1"}); err != nil {
		t.Error(err)
	}
	refused(t, Fetcher{}, Request{Text: url + "@v2"}, `entry "link": symbolic link`)
	if _, err := os.Stat(mark); err == nil {
		t.Error("a program of the repository ran")
	}
}

func TestRepositoriesOverHTTP(t *testing.T) {
	t.Parallel()
	_, digest := packed(t)
	r := newRepo(t)
	commit := r.commit(packFiles)
	r.git("tag", "v1")
	r.git("update-server-info")
	backend := filepath.Join(r.git("--exec-path"), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Skip("no git-http-backend here")
	}
	s := httptest.NewServer(&cgi.Handler{Path: backend, Root: "/", Env: []string{
		"GIT_PROJECT_ROOT=" + r.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}, InheritEnv: []string{"PATH"}})
	defer s.Close()
	url := s.URL + "/.git"
	fetched(t, Fetcher{}, Request{Text: url + "@v1"}, digest, "git+"+url+"@v1 (commit "+commit+")")
	asks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer asks.Close()
	refused(t, Fetcher{}, Request{Text: "git+" + asks.URL + "/r@v1"}, "could not read Username")
}

func TestALargeRepositoryIsStopped(t *testing.T) {
	t.Parallel()
	dir := write(t, t.TempDir(), map[string]string{"a": strings.Repeat("x", 1000)})
	ctx, stop := boundSize(t.Context(), dir, 999)
	<-ctx.Done()
	stop()
	if !errors.Is(context.Cause(ctx), errRepositorySize) {
		t.Error(context.Cause(ctx))
	}
	ctx, stop = boundSize(t.Context(), dir, 1000)
	if stop(); errors.Is(context.Cause(ctx), errRepositorySize) {
		t.Error("stopped without a reason")
	}
}
