package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/attune/attune/pkg/pack"
)

// underWay is a build of this process. What it came to stands there when done is closed.
type underWay struct {
	cancel  context.CancelCauseFunc
	retired bool // guarded by store.mu; what it makes is not wanted any more
	done    chan struct{}
	env     *Environment // counted as in use once, for whoever started the build
	err     error
}

// Build gives the environment of a digest, and makes it first when it is not ready, or waits for whoever makes it.
// It must be released. The end of ctx ends the waiting; a build goes on until it is done, or ended by Retire or
// Close. The error is a *Failure when the pack could not be made ready, and ErrFetch when its archive could not be
// had.
func (s *Store) Build(ctx context.Context, q Request) (*Environment, error) {
	e, err := s.useWhole(ctx, q.Digest)
	if err == nil || !errors.Is(err, ErrNotBuilt) {
		return e, err
	}
	b, mine, err := s.begin(q)
	if err != nil {
		return nil, err
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		if mine {
			s.work.Go(func() { s.abandon(b) })
		}
		return nil, context.Cause(ctx)
	}
	if b.err != nil || mine {
		return b.env, b.err
	}
	return s.Use(ctx, q.Digest)
}

// useWhole is Use, but for an environment that lacks a runtime which the machine has by now.
func (s *Store) useWhole(ctx context.Context, digest string) (*Environment, error) {
	e, err := s.Use(ctx, digest)
	if err != nil || len(e.Missing) == 0 {
		return e, err
	}
	m := e.marker
	if _, err := s.judge(ctx, &m); err != nil {
		e.Release()
		return nil, err
	}
	return e, nil
}

// abandon gives back what a build made for somebody who has gone.
func (s *Store) abandon(b *underWay) {
	if <-b.done; b.env != nil {
		b.env.Release()
	}
}

// begin starts a build, or joins the one under way.
func (s *Store) begin(q Request) (b *underWay, mine bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, errClosed
	}
	if b := s.builds[q.Digest]; b != nil {
		return b, false, nil
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	b = &underWay{cancel: cancel, done: make(chan struct{})}
	s.builds[q.Digest] = b
	delete(s.retired, q.Digest)
	s.work.Go(func() {
		defer cancel(nil)
		b.env, b.err = s.buildLocked(ctx, q)
		s.end(q.Digest, b)
		close(b.done)
	})
	return b, true, nil
}

func (s *Store) end(digest string, b *underWay) {
	s.mu.Lock()
	delete(s.builds, digest)
	retired := b.retired
	s.mu.Unlock()
	if retired {
		s.Retire(digest)
	} else {
		s.cleanLogged(digest)
	}
}

// buildLocked builds when nobody else has by the time that it has the lock.
func (s *Store) buildLocked(ctx context.Context, q Request) (*Environment, error) {
	b := &build{store: s, Request: q, out: newOutput(q.Log), step: "start"}
	lock, err := lockFile(ctx, s.lockName(q.Digest), func() { b.begin("wait for another process that builds it") })
	if err != nil {
		return nil, err
	}
	defer unlock(lock)
	e, err := s.open(ctx, q.Digest)
	if err == nil || !errors.Is(err, ErrNotBuilt) {
		return e, err
	}
	return b.run(ctx)
}

// build is one try to make a pack ready.
type build struct {
	store *Store
	Request
	out  *output
	dir  string // of this try
	step string // what is being done
	over <-chan struct{}
}

// begin says what is done next.
func (b *build) begin(step string) {
	b.step = step
	b.out.say("attune: " + step)
	b.out.begin()
	if b.Step != nil {
		b.Step(step)
	}
}

// run does everything in the folder of a new try, and leaves nothing of it when it fails.
func (b *build) run(ctx context.Context) (*Environment, error) {
	s := b.store
	n, err := s.nextTry(b.Digest)
	if err != nil {
		return nil, err
	}
	b.dir = s.tryDir(b.Digest, n)
	m, err := b.inTime(ctx)
	if err == nil {
		m.Attempt = n
		err = b.complete(m)
	}
	if err != nil {
		err = b.failure(ctx, err)
		b.out.say("attune: " + err.Error())
		return nil, errors.Join(err, RemoveAll(b.dir))
	}
	missing, err := s.judge(ctx, &m)
	if err != nil {
		return nil, err
	}
	e, err := s.adopt(b.Digest, m, missing)
	if err != nil {
		return nil, err
	}
	b.out.say("attune: ready")
	return s.install(e), nil
}

// nextTry removes what is left of tries before, and gives the number of the next.
func (s *Store) nextTry(digest string) (int, error) {
	dir := s.digestDir(digest)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("store of packs: %w", err)
	}
	if err := s.cleanLocked(digest); err != nil {
		return 0, err
	}
	left, err := tries(dir)
	if err != nil {
		return 0, err
	}
	return 1 + slices.Max(append(left, 0)), nil
}

// errTimeout is the cause of the end of a build that takes too long.
var errTimeout = errors.New("it takes longer than is allowed")

// inTime builds within the bounds of time and size.
func (b *build) inTime(ctx context.Context) (marker, error) {
	if err := os.MkdirAll(b.tmp(), 0o700); err != nil {
		return marker{}, fmt.Errorf("folder of the build: %w", err)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	ctx, stopTime := context.WithTimeoutCause(ctx, b.store.Timeout, errTimeout)
	defer stopTime()
	over, stop := limitSize(ctx, b.dir, b.store.MaxBytes, end)
	defer stop()
	b.over = over
	m, err := b.make(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = errors.Join(cause, err)
	}
	return m, err
}

// make unpacks the archive, chooses interpreters and runs the steps of their runtimes.
func (b *build) make(ctx context.Context) (marker, error) {
	b.begin("fetch and unpack")
	if err := b.unpack(ctx); err != nil {
		return marker{}, err
	}
	p, err := pack.Load(b.packDir())
	if err != nil {
		return marker{}, &Failure{Class: BadPack, Step: b.step, Err: err}
	}
	have, err := b.store.Runtimes(ctx)
	if err != nil {
		return marker{}, err
	}
	m := marker{Version: markerVersion, Digest: b.Digest, Wants: wants(p)}
	c, err := choose(have, m.Wants)
	if err != nil {
		return marker{}, err
	}
	for _, lack := range c.missing {
		b.out.say("attune: " + Lacks(lack))
	}
	for _, f := range c.found {
		i, err := b.prepare(ctx, f)
		if err != nil {
			return marker{}, err
		}
		m.Runtimes = append(m.Runtimes, i)
	}
	return m, nil
}

func (b *build) packDir() string { return filepath.Join(b.dir, "pack") }
func (b *build) tmp() string     { return filepath.Join(b.dir, "tmp") }

func (b *build) unpack(ctx context.Context) error {
	archive, err := b.Archive(ctx)
	if err != nil {
		return err
	}
	digest, err := pack.Unpack(archive, b.packDir(), pack.DefaultLimits())
	if closed := archive.Close(); closed != nil {
		return errors.Join(closed, err)
	}
	if err == nil && digest != b.Digest {
		err = fmt.Errorf("%s: %w", digest, ErrDigest)
	}
	if errors.Is(err, pack.ErrArchive) || errors.Is(err, ErrDigest) {
		return &Failure{Class: BadPack, Step: b.step, Err: err}
	}
	return err
}

// complete writes down that the try is the one to use, once all of it is on the disk.
func (b *build) complete(m marker) error {
	b.begin("store")
	err := RemoveAll(b.tmp())
	if err == nil {
		err = protect(b.packDir())
	}
	if err == nil {
		err = syncFiles(b.dir)
	}
	if err != nil {
		return fmt.Errorf("store environment: %w", err)
	}
	m.BuiltAt = time.Now().UTC()
	return writeMarker(b.store.digestDir(b.Digest), m)
}

// failure says in which class an error is.
func (b *build) failure(ctx context.Context, err error) error {
	var f *Failure
	if !errors.As(err, &f) {
		f = &Failure{Class: BuildFailed, Step: b.step, Err: err}
	}
	f.Tail = b.out.end()
	switch {
	case errors.Is(err, ErrFetch), ctx.Err() != nil:
		return err
	case errors.Is(err, errTimeout):
		f.Class, f.Err = BuildTimeout, fmt.Errorf("%w: %s", errTimeout, b.store.Timeout)
	case errors.Is(err, errTooLarge):
		f.Class, f.Err = TooLarge, fmt.Errorf("%w: %d bytes", errTooLarge, b.store.MaxBytes)
	case isFull(err, b.dir):
		f.Class = DiskFull
	}
	return f
}
