package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/attune/attune/pkg/pack"
)

var (
	refName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}$`)
	commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

// ErrBranch is returned when a repository was to be fetched at a branch.
var ErrBranch = errors.New("a branch, which is another commit tomorrow")

// maxRepository bounds what git may fetch, in bytes on disk.
const maxRepository = 512 << 20

// isGitURL tells repositories by their names: https://host/name.git, perhaps with @ref.
func isGitURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	path, _, _ := strings.Cut(u.Path, "@")
	return strings.HasSuffix(path, ".git")
}

// repository is a git repository at a ref.
type repository struct {
	url      string
	protocol string // the only one that git may use
	ref      string
	branches bool // may it be a branch
	subdir   string
}

// git opens a git repository.
func (f Fetcher) git(r Request) (func(context.Context) (*Tree, error), error) {
	repo, err := repositoryOf(r)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (*Tree, error) { return f.clone(ctx, repo) }, nil
}

func repositoryOf(r Request) (repository, error) {
	u, err := url.Parse(strings.TrimPrefix(r.Text, "git+"))
	if err != nil {
		return repository{}, fmt.Errorf("%.200q %w: not an address", r.Text, ErrSource)
	}
	switch {
	case u.Scheme == "file" && (u.Host != "" || !filepath.IsAbs(u.Path)):
		return repository{}, fmt.Errorf("%.200q %w: write git+file:///PATH", r.Text, ErrSource)
	case u.Scheme != "file":
		if _, err := webAddress(u.String()); err != nil {
			return repository{}, err
		}
	}
	if u.Fragment != "" || u.RawQuery != "" || r.SHA256 != "" {
		return repository{}, fmt.Errorf("%.200q %w with a sha256 or a query: name a commit instead", r.Text, ErrSource)
	}
	out := repository{protocol: u.Scheme, ref: r.Ref, branches: r.AllowBranch, subdir: r.Subdir}
	if at := strings.LastIndex(u.Path, "@"); at >= 0 {
		if out.ref != "" && out.ref != u.Path[at+1:] {
			return repository{}, fmt.Errorf("%.200q %w: it names two refs", r.Text, ErrSource)
		}
		out.ref, u.Path, u.RawPath = u.Path[at+1:], u.Path[:at], ""
	}
	out.url = u.String()
	return out, out.check()
}

func (r repository) check() error {
	switch {
	case r.ref == "":
		return fmt.Errorf("repository %s %w without a ref: name a tag or a full commit id, as in git+%[1]s@v1.0.0", r.url, ErrSource)
	case !refName.MatchString(r.ref) || strings.Contains(r.ref, "..") || strings.HasSuffix(r.ref, "/"):
		return fmt.Errorf("ref %.100q %w: it is not the name of a tag, a branch or a commit", r.ref, ErrSource)
	default:
		return nil
	}
}

// clone fetches one commit and unpacks it. Nothing is checked out by git itself: no hooks, no filters, no links.
func (f Fetcher) clone(ctx context.Context, repo repository) (*Tree, error) {
	temp, err := os.MkdirTemp("", "attune-git-")
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", repo.url, err)
	}
	defer os.RemoveAll(temp) //nolint:errcheck // what remains is temporary
	g := &git{dir: temp, protocol: repo.protocol, environ: f.Environ}
	watched, stop := boundSize(ctx, temp, maxRepository)
	commit, err := g.export(watched, repo)
	if stop(); errors.Is(context.Cause(watched), errRepositorySize) {
		err = errRepositorySize
	}
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", repo.url, err)
	}
	return extracted(repo.url, "", repo.origin(commit), func(dir string) error {
		return unpackFile(g.tar(), dir)
	})
}

// origin says which commit it was.
func (r repository) origin(commit string) string {
	text := "git+" + r.url + "@" + r.ref
	if r.ref != commit {
		text += " (commit " + commit + ")"
	}
	if r.subdir != "" {
		text += ", folder " + filepath.ToSlash(filepath.Clean(r.subdir))
	}
	return text
}

func unpackFile(name, dir string) error {
	in, err := os.Open(filepath.Clean(name))
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = pack.Unpack(in, dir, pack.DefaultLimits())
	return err
}

// git is the program, working in a folder of its own.
type git struct {
	dir      string
	protocol string
	environ  []string
}

// tar is the file that export makes.
func (g *git) tar() string { return filepath.Join(g.dir, "export.tar") }

var errRepositorySize = fmt.Errorf("the repository is larger than %d MiB", maxRepository>>20)

// boundSize gives a context that ends when a folder grows too large. The returned function ends the watch.
func boundSize(ctx context.Context, dir string, limit int64) (context.Context, func()) {
	watched, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(200 * time.Millisecond)
		defer look.Stop()
		for size(dir) <= limit {
			select {
			case <-watched.Done():
				return
			case <-look.C:
			}
		}
		cancel(errRepositorySize)
	}()
	return watched, func() { cancel(nil); <-done }
}

// size gives the bytes of a folder's files.
func size(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // files come and go meanwhile
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

// fetch gets the commit that a ref means, and gives its id.
func (g *git) fetch(ctx context.Context, repo repository) (string, error) {
	if _, err := g.run(ctx, "init", "--quiet", "--bare", "--template=", "."); err != nil {
		return "", err
	}
	want, name, err := g.resolve(ctx, repo)
	if err != nil {
		return "", err
	}
	quiet := []string{"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance", "--no-write-fetch-head"}
	if _, err = g.run(ctx, append(quiet, "--depth=1", "--", repo.url, name)...); err != nil && name == want {
		// A server need not give a commit that no ref names; then everything comes.
		_, err = g.run(ctx, append(quiet, "--", repo.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")...)
	}
	if err != nil {
		return "", err
	}
	commit, err := g.run(ctx, "rev-parse", "--verify", "--quiet", want+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("there is no commit %s in it", want)
	}
	return strings.TrimSpace(string(commit)), nil
}

// resolve asks the server what a ref means: the id of an object, and the name to fetch it by.
func (g *git) resolve(ctx context.Context, repo repository) (id, name string, err error) {
	if commitID.MatchString(repo.ref) {
		return repo.ref, repo.ref, nil
	}
	out, err := g.run(ctx, "ls-remote", "--quiet", "--", repo.url, "refs/tags/"+repo.ref, "refs/heads/"+repo.ref)
	if err != nil {
		return "", "", err
	}
	ids := map[string]string{}
	for line := range strings.Lines(string(out)) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		ids[name] = id
	}
	tag, branch := "refs/tags/"+repo.ref, "refs/heads/"+repo.ref
	switch {
	case ids[tag] != "":
		return ids[tag], tag, nil
	case ids[branch] != "" && repo.branches:
		return ids[branch], branch, nil
	case ids[branch] != "":
		return "", "", fmt.Errorf("%s is %w: name a tag or a full commit id (it is %s now), or say --allow-branch", repo.ref, ErrBranch, ids[branch])
	default:
		return "", "", fmt.Errorf("there is no tag or branch %s in it; a commit needs its full id", repo.ref)
	}
}

// export fetches a commit and writes its files to a tar. It gives the commit's id.
func (g *git) export(ctx context.Context, repo repository) (string, error) {
	commit, err := g.fetch(ctx, repo)
	if err != nil {
		return "", err
	}
	tree := commit
	if repo.subdir != "" {
		tree += ":" + filepath.ToSlash(filepath.Clean(repo.subdir))
	}
	if _, err := g.run(ctx, "cat-file", "-e", tree); err != nil {
		return "", fmt.Errorf("there is no folder %s in it", repo.subdir)
	}
	_, err = g.run(ctx, "archive", "--format=tar", "--output="+g.tar(), tree)
	return commit, err
}

// run runs git with nothing of the user's own: no configuration, no hooks, no prompts, one protocol.
func (g *git) run(ctx context.Context, args ...string) ([]byte, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("git is needed to fetch from repositories: %w", err)
	}
	var out bytes.Buffer
	var said tail
	cmd := exec.CommandContext(ctx, path, append([]string{"-c", "core.hooksPath=/dev/null", "-c", "credential.helper="}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = g.dir, &out, &said, 5*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = append([]string{
		"HOME=" + g.dir, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false", "SSH_ASKPASS=false", "GIT_ALLOW_PROTOCOL=" + g.protocol, "GIT_PROTOCOL_FROM_USER=0",
	}, g.environ...)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("git %s: %w%s", args[0], err, said.text())
	}
	return out.Bytes(), nil
}

// tail keeps the end of what a program says.
type tail struct{ kept []byte }

const maxTail = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxTail; over > 0 {
		t.kept = t.kept[over:]
	}
	return len(p), nil
}

func (t *tail) text() string {
	said := strings.TrimSpace(string(t.kept))
	if said == "" {
		return ""
	}
	return ": " + strings.ReplaceAll(said, "\n", "; ")
}
