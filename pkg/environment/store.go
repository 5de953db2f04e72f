package environment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
)

// Config describes a Store. Dir, Launcher, Definitions and Runtimes are required.
type Config struct {
	Dir         string // may be shared by all processes of a machine that run as one user
	Launcher    *process.Launcher
	Definitions []runtime.Definition
	Runtimes    func(ctx context.Context) (Runtimes, error) // what the machine has now; asked before a build
	Path        string                                      // where build tools are looked for; "" means runtime.DefaultPath
	Options     map[string]string                           // what the operator set for build steps: pip_index_url, ...
	Env         []string                                    // "NAME=value" that builds have besides
	Timeout     time.Duration                               // of a build's steps together; 0: DefaultTimeout
	MaxBytes    int64                                       // what a build may take of the disk; 0: DefaultMaxBytes
	Logger      *slog.Logger
}

// Defaults of Config.
const (
	DefaultTimeout  = 10 * time.Minute
	DefaultMaxBytes = 2 << 30
)

var (
	// ErrNotBuilt is returned by Use when the pack is not ready, or not any more: Build makes it so.
	ErrNotBuilt = errors.New("the environment is not built")
	// ErrRetired is the error of a build that Retire ended.
	ErrRetired = errors.New("the pack is no longer wanted here")
	// ErrDigest is returned when an archive is not what its digest says, or a digest is none.
	ErrDigest = errors.New("the archive has another digest")
	// ErrFetch is matched by the errors of Request.Archive: another try may succeed.
	ErrFetch = errors.New("the archive could not be read")
)

// Store is where packs are kept ready. Its methods may be called by many goroutines.
type Store struct {
	Config
	ctx    context.Context // of builds; ends with Close
	cancel context.CancelCauseFunc
	work   sync.WaitGroup // builds and removals

	mu      sync.Mutex // guards the fields below, and the uses of environments
	current map[string]*Environment
	builds  map[string]*underWay
	retired map[string]bool // digests to be removed after their last use
	closed  bool
}

// Open makes the folder of a store.
func Open(c Config) (*Store, error) {
	dir, err := filepath.Abs(c.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("store of packs: %w", err)
	}
	s := &Store{Config: c.withDefaults(), current: map[string]*Environment{}, builds: map[string]*underWay{}, retired: map[string]bool{}}
	s.Dir = dir
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.Path == "" {
		c.Path = runtime.DefaultPath
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// errClosed is the error of builds that Close ended.
var errClosed = errors.New("the store is closed")

// Close ends what is being built, waits for it, and gives up all environments. None may be in use.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(errClosed)
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for digest, e := range s.current {
		delete(s.current, digest)
		unlock(e.lock)
	}
}

// digestForm is what the digest of an archive looks like.
var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func checkDigest(digest string) error {
	if !digestForm.MatchString(digest) {
		return fmt.Errorf("%.80q is not a digest: %w", digest, ErrDigest)
	}
	return nil
}

// Use gives the environment of a digest when it is ready, without building anything. It must be released.
func (s *Store) Use(ctx context.Context, digest string) (*Environment, error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	if e := s.take(digest); e != nil {
		if e.same() {
			return e, nil
		}
		s.release(e)
	}
	return s.open(ctx, digest)
}

// take gives the current environment, counted as in use.
func (s *Store) take(digest string) *Environment {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.current[digest]
	if e != nil {
		e.uses++
	}
	return e
}

// open uses what stands on the disk, when it is complete and fits what the machine has.
func (s *Store) open(ctx context.Context, digest string) (*Environment, error) {
	m, err := readMarker(s.digestDir(digest), digest)
	if errors.Is(err, errNoMarker) {
		return nil, fmt.Errorf("%w: %w", ErrNotBuilt, err)
	}
	if err != nil {
		return nil, err
	}
	missing, err := s.judge(ctx, &m)
	if err != nil {
		return nil, err
	}
	e, err := s.adopt(digest, m, missing)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotBuilt, err)
	}
	return s.install(e), nil
}

// install makes an environment the one to use, and counts it as in use. The one before stays for as long as it is
// used.
func (s *Store) install(e *Environment) *Environment {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current[e.Digest]
	if old != nil && old.marker.Attempt == e.marker.Attempt && old.same() {
		unlock(e.lock) // somebody opened it at the same time
		old.uses++
		return old
	}
	s.current[e.Digest] = e
	delete(s.retired, e.Digest)
	e.uses = 2
	if old != nil {
		s.drop(old)
	}
	return e
}

func (s *Store) release(e *Environment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(e)
}

// drop ends one use, and with the last one the environment. Its caller holds mu.
func (s *Store) drop(e *Environment) {
	if e.uses--; e.uses > 0 {
		return
	}
	unlock(e.lock)
	if !s.closed {
		s.work.Go(func() { s.cleanLogged(e.Digest) })
	}
}

func (s *Store) cleanLogged(digest string) {
	if err := s.clean(digest); err != nil {
		s.Logger.WarnContext(s.ctx, "environment not removed", slog.String("digest", digest), slog.Any(logging.Error, err))
	}
}

// Retire removes what there is of a digest, after its last use. A build of it is ended.
func (s *Store) Retire(digest string) {
	if checkDigest(digest) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired[digest] = true
	if b := s.builds[digest]; b != nil {
		b.retired = true
		b.cancel(ErrRetired)
		return // what it leaves is removed when it has ended
	}
	if e := s.current[digest]; e != nil {
		delete(s.current, digest)
		s.drop(e)
	} else if !s.closed {
		s.work.Go(func() { s.cleanLogged(digest) })
	}
}

// Sweep removes what processes before this one left: tries that were never completed, and every digest that keep
// does not want. What is in use anywhere stays.
func (s *Store) Sweep(keep func(digest string) bool) error {
	digests, err := s.Digests()
	if err != nil {
		return err
	}
	var errs []error
	for _, digest := range digests {
		if !keep(digest) {
			s.Retire(digest)
		} else {
			errs = append(errs, s.clean(digest))
		}
	}
	return errors.Join(errs...)
}

// Digests lists the packs of which there is something, ready or not.
func (s *Store) Digests() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("store of packs: %w", err)
	}
	var all []string
	for _, d := range entries {
		if d.IsDir() && checkDigest(d.Name()) == nil {
			all = append(all, d.Name())
		}
	}
	return all, nil
}

// Request asks for a build.
type Request struct {
	Digest  string
	Archive func(ctx context.Context) (io.ReadCloser, error)
	Log     io.Writer         // what is done and what tools say; nil: nowhere
	Step    func(step string) // told of every step before it is done; nil: nobody
}
