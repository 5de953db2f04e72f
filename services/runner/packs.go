package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/streams"
)

var (
	// errNoAction is returned when a pack has no such action.
	errNoAction = errors.New("the pack has no such action")
	// errFetch is returned when an archive could not be read; another try may succeed.
	errFetch = errors.New("the archive could not be read")
	// errDigest is returned when an archive is not what its name says.
	errDigest = errors.New("the archive has another digest")
)

// packs gives the packs that executions need: each is fetched, unpacked and read once.
type packs struct {
	objects jetstream.ObjectStore
	dir     string

	mu   sync.Mutex // guards open
	open map[string]*opened
}

// opened is a pack in use. Its fields are set when ready is closed.
type opened struct {
	ready   chan struct{}
	err     error
	dir     string
	actions map[string]pack.Action

	mu       sync.Mutex // guards programs
	programs map[string]*program
}

// program is an action ready to be started. It is the same for all executions.
type program struct {
	pack.Action
	command runtime.Command
	result  *schema.Schema
}

func openPacks(ctx context.Context, js jetstream.JetStream, dir string) (*packs, error) {
	objects, err := js.ObjectStore(ctx, streams.ObjectsPacks)
	if err != nil {
		return nil, fmt.Errorf("open object bucket %s: %w", streams.ObjectsPacks, err)
	}
	return &packs{objects: objects, dir: dir, open: map[string]*opened{}}, nil
}

// program gives an action of the pack with that digest.
func (ps *packs) program(ctx context.Context, set *runtime.Set, digest, name string) (*program, error) {
	o, err := ps.get(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", digest, err)
	}
	return o.program(set, name)
}

// get opens a pack, or waits for whoever does. A failure is forgotten, so that the next execution tries again.
func (ps *packs) get(ctx context.Context, digest string) (*opened, error) {
	ps.mu.Lock()
	o := ps.open[digest]
	mine := o == nil
	if mine {
		o = &opened{ready: make(chan struct{}), actions: map[string]pack.Action{}, programs: map[string]*program{}}
		ps.open[digest] = o
	}
	ps.mu.Unlock()
	if !mine {
		select {
		case <-o.ready:
			return o, o.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	o.err = ps.load(ctx, digest, o)
	if o.err != nil {
		ps.mu.Lock()
		delete(ps.open, digest)
		ps.mu.Unlock()
	}
	close(o.ready)
	return o, o.err
}

func (ps *packs) load(ctx context.Context, digest string, o *opened) error {
	if _, err := streams.Token(digest); err != nil || !filepath.IsLocal(digest) || filepath.Base(digest) != digest {
		return fmt.Errorf("digest %q: %w", digest, errDigest)
	}
	o.dir = filepath.Join(ps.dir, digest)
	_, err := os.Stat(o.dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = ps.fetch(ctx, digest, o.dir)
	}
	if err != nil {
		return err
	}
	p, err := pack.Load(o.dir)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	for _, a := range p.Actions {
		o.actions[a.Name] = a
	}
	return nil
}

// fetch unpacks an archive beside its place, and moves it there when it is what its name says.
func (ps *packs) fetch(ctx context.Context, digest, dir string) error {
	object, err := ps.objects.Get(ctx, digest)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("fetch: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errFetch, err)
	}
	defer func() { _ = object.Close() }() // it was only read
	staging := filepath.Join(ps.dir, ".fetched-"+digest)
	if err := os.RemoveAll(staging); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	got, err := pack.Unpack(object, staging, pack.DefaultLimits())
	if err == nil && got != digest {
		err = errors.Join(fmt.Errorf("%s: %w", got, errDigest), os.RemoveAll(staging))
	}
	if err == nil {
		err = os.Rename(staging, dir)
	}
	if failed := object.Error(); failed != nil {
		return fmt.Errorf("%w: %w", errFetch, errors.Join(failed, err))
	}
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// program makes an action ready, once.
func (o *opened) program(set *runtime.Set, name string) (*program, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ready := o.programs[name]; ready != nil {
		return ready, nil
	}
	spec, ok := o.actions[name]
	if !ok {
		return nil, fmt.Errorf("action %s: %w", name, errNoAction)
	}
	command, err := set.Command(o.dir, spec)
	if err != nil {
		return nil, &startError{err}
	}
	result, err := schema.Compile(spec.OutputSchema)
	if err != nil {
		return nil, fmt.Errorf("action %s: output_schema: %w", name, err)
	}
	o.programs[name] = &program{Action: spec, command: command, result: result}
	return o.programs[name], nil
}

// startError marks an error as one of starting: the program exists, but cannot be run here.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }
