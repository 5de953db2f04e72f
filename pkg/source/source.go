package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/packindex"
)

var (
	// ErrSource is matched by errors about what was asked for, rather than about what was found there.
	ErrSource = errors.New("cannot be a source of a pack")
	// ErrNotFound is returned when a folder or file is not there.
	ErrNotFound = errors.New("there is no such folder or archive")
	// ErrSum is returned when bytes are not those that were asked for.
	ErrSum = errors.New("wrong sha256")
)

// Defaults of a Fetcher.
const (
	DefaultMaxBytes = 64 << 20
	DefaultTimeout  = 5 * time.Minute
)

// Request is what the user asked for.
type Request struct {
	Text        string // a path, an address or a name
	SHA256      string // of an archive that is fetched
	Ref         string // of a git repository: a tag, a commit or a branch
	Subdir      string // of a git repository or an archive
	AllowBranch bool   // take a branch, which is another commit tomorrow
}

// Fetcher fetches packs. Its zero value works for everything but names.
type Fetcher struct {
	Index    string                // folder or address of the index; "": there is none
	Keys     []packindex.PublicKey // trusted to sign it
	State    string                // folder that remembers the generations of indexes; "": nothing does
	Client   *http.Client          // nil: one of its own
	Environ  []string              // strings that git gets besides its own: the PATH, proxies, certificates
	MaxBytes int64                 // of an archive; 0: DefaultMaxBytes
	Timeout  time.Duration         // of everything that one request does; 0: DefaultTimeout
	Progress func(done, total int64)
}

// Tree is a pack's folder with where it came from.
type Tree struct {
	Dir    string // holds pack.yaml, if there is one
	Origin string // where it came from, exactly

	temp string // removed by Close; "" when it is the user's own folder
}

// Local tells whether it is the user's own folder, whose files have names that the user knows.
func (t *Tree) Local() bool { return t.temp == "" }

// Close removes what was fetched.
func (t *Tree) Close() error {
	if t.temp == "" {
		return nil
	}
	return os.RemoveAll(t.temp)
}

// Checked is a pack without mistakes, ready to be installed.
type Checked struct {
	Pack    pack.Pack
	Archive []byte
	Digest  string
	Origin  string
}

// Check reads a tree. An error about its content is of type pack.Mistakes, with paths within the pack.
func (t *Tree) Check() (Checked, error) {
	p, err := pack.Load(t.Dir)
	if err != nil {
		return Checked{}, err
	}
	digest, archive, err := pack.Archive(t.Dir)
	return Checked{Pack: p, Archive: archive, Digest: digest, Origin: t.Origin}, err
}

// Fetch opens a source, checks the pack and cleans up.
func (f Fetcher) Fetch(ctx context.Context, r Request) (Checked, error) {
	t, err := f.Open(ctx, r)
	if err != nil {
		return Checked{}, err
	}
	c, err := t.Check()
	return c, errors.Join(err, t.Close())
}

// Open gives the folder of what the user asked for. The caller closes it.
func (f Fetcher) Open(ctx context.Context, r Request) (*Tree, error) {
	if f.MaxBytes == 0 {
		f.MaxBytes = DefaultMaxBytes
	}
	if f.Timeout == 0 {
		f.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.Timeout, fmt.Errorf("it took longer than %s", f.Timeout))
	defer cancel()
	open, err := f.opener(r)
	if err != nil {
		return nil, err
	}
	t, err := open(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return t, err
}

// opener tells what kind of source a request is about.
func (f Fetcher) opener(r Request) (func(context.Context) (*Tree, error), error) {
	if err := plain(r); err != nil {
		return nil, err
	}
	scheme, _, isURL := strings.Cut(r.Text, "://")
	switch {
	case strings.HasPrefix(r.Text, "git+"), isURL && isGitURL(r.Text):
		return f.git(r)
	case isURL && (scheme == "https" || scheme == "http"):
		return f.url(r)
	case isURL:
		return nil, fmt.Errorf("%.100q %w: the scheme %.20q is none of https, git+https, git+file", r.Text, ErrSource, scheme)
	case r.Ref != "" || r.AllowBranch:
		return nil, fmt.Errorf("%.100q %w of a ref: only git repositories have them", r.Text, ErrSource)
	}
	if _, err := os.Stat(r.Text); err == nil {
		return func(context.Context) (*Tree, error) { return f.local(r) }, nil
	}
	if name, wanted, ok := Name(r.Text); ok {
		return func(ctx context.Context) (*Tree, error) { return f.named(ctx, r, name, wanted) }, nil
	}
	return nil, fmt.Errorf("pack %s: %w", r.Text, ErrNotFound)
}

// plain refuses what could become an option of a program or something else than it looks like.
func plain(r Request) error {
	for what, text := range map[string]string{"source": r.Text, "ref": r.Ref, "subdir": r.Subdir} {
		switch {
		case strings.HasPrefix(text, "-"):
			return fmt.Errorf("%s %.100q %w: it begins with -; write ./%[2]s for a file of that name", what, text, ErrSource)
		case strings.IndexFunc(text, unicode.IsControl) >= 0:
			return fmt.Errorf("%s %.100q %w: it holds control characters", what, text, ErrSource)
		case len(text) > 4096:
			return fmt.Errorf("%s %.100q %w: it is too long", what, text, ErrSource)
		}
	}
	if r.Subdir != "" && !filepath.IsLocal(r.Subdir) {
		return fmt.Errorf("subdir %.100q %w: it must be a path within it", r.Subdir, ErrSource)
	}
	if r.SHA256 != "" && !hexSum.MatchString(r.SHA256) {
		return fmt.Errorf("sha256 %.100q %w: want 64 hexadecimal digits", r.SHA256, ErrSource)
	}
	return nil
}

// Name tells whether a text names a pack of an index: "github", "github@1.2.0", "github@>=1.2, <2".
func Name(text string) (name, wanted string, ok bool) {
	name, wanted, versioned := strings.Cut(text, "@")
	return name, wanted, pack.ValidName(name) && (!versioned || wanted != "")
}

// local opens a folder or an archive of the user.
func (f Fetcher) local(r Request) (*Tree, error) {
	info, err := os.Stat(r.Text)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", r.Text, err)
	}
	origin, err := filepath.Abs(r.Text)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", r.Text, err)
	}
	switch {
	case info.IsDir() && r.SHA256 != "":
		return nil, fmt.Errorf("%.100q %w with a sha256: only archives have one", r.Text, ErrSource)
	case info.IsDir():
		return &Tree{Dir: filepath.Join(r.Text, r.Subdir), Origin: "folder " + filepath.Join(origin, r.Subdir)}, nil
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("pack %s: neither a folder nor a file", r.Text)
	case info.Size() > f.MaxBytes:
		return nil, fmt.Errorf("pack %s is over %d MiB", r.Text, f.MaxBytes>>20)
	}
	data, err := os.ReadFile(r.Text)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", r.Text, err)
	}
	return unpacked(r.Text, data, r.SHA256, r.Subdir, "archive "+origin)
}

// unpacked makes a tree of an archive. Sum is the SHA-256 that it must have, unless it is empty.
func unpacked(name string, archive []byte, sum, subdir, origin string) (*Tree, error) {
	if err := checkSum(archive, sum); err != nil {
		return nil, fmt.Errorf("pack %s: %w", name, err)
	}
	return extracted(name, subdir, origin, func(dir string) error {
		_, err := pack.Unpack(bytes.NewReader(archive), dir, pack.DefaultLimits())
		return err
	})
}

// extracted makes a tree of what fill puts into a new folder.
func extracted(name, subdir, origin string, fill func(dir string) error) (*Tree, error) {
	temp, err := os.MkdirTemp("", "attune-source-")
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", name, err)
	}
	t := &Tree{temp: temp, Origin: origin}
	dir := filepath.Join(temp, "pack")
	if err := fill(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("pack %s: %w", name, err), t.Close())
	}
	t.Dir = filepath.Join(pack.Root(dir), subdir)
	if info, err := os.Stat(t.Dir); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, errors.Join(fmt.Errorf("pack %s: there is no folder %s in it", name, subdir), t.Close())
	}
	return t, nil
}
