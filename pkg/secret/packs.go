package secret

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// maxPacks bounds how many packs' declarations are remembered.
const maxPacks = 256

// Registry tells which versions of packs were installed here; the store of definitions does.
type Registry interface {
	Installed(ctx context.Context, pack, digest string) (bool, error)
}

// Packs reads declarations from pack archives, so that an execution gets what its own version of the pack
// declares, also when another one has been installed since. An archive that nobody installed declares nothing: who
// runs actions may write to the object store and name any digest in a fact.
type Packs struct {
	js      jetstream.JetStream
	known   Registry
	tempDir string

	mu   sync.Mutex // guards read
	read map[string]declared
}

// declared are the secrets of the programs of one pack, by pack and name.
type declared struct{ actions, sensors map[string][]string }

// NewPacks makes Packs. Archives are unpacked for a moment in tempDir; "" is the system's.
func NewPacks(js jetstream.JetStream, installed Registry, tempDir string) *Packs {
	return &Packs{js: js, known: installed, tempDir: tempDir, read: map[string]declared{}}
}

// Declared tells which secrets an action declares.
func (p *Packs) Declared(ctx context.Context, action pack.Ref, digest string) ([]string, error) {
	d, err := p.of(ctx, action.Pack, digest)
	return d.actions[action.String()], err
}

// DeclaredBySensor tells which secrets a sensor declares, those that it can work without and those that its own
// configuration refers to included.
func (p *Packs) DeclaredBySensor(ctx context.Context, sensor pack.Ref, digest string) ([]string, error) {
	d, err := p.of(ctx, sensor.Pack, digest)
	return d.sensors[sensor.String()], err
}

func (p *Packs) of(ctx context.Context, name, digest string) (declared, error) {
	p.mu.Lock()
	d, ok := p.read[digest]
	p.mu.Unlock()
	if ok {
		return d, nil
	}
	switch installed, err := p.known.Installed(ctx, name, digest); {
	case err != nil:
		return declared{}, err
	case !installed:
		return declared{}, fmt.Errorf("version %.80q of pack %s was not installed: %w", digest, name, ErrRefused)
	}
	d, err := p.open(ctx, digest)
	if err != nil {
		return declared{}, fmt.Errorf("pack %.80q: %w", digest, err)
	}
	p.remember(digest, d)
	return d, nil
}

func (p *Packs) remember(digest string, d declared) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.read) >= maxPacks {
		clear(p.read)
	}
	p.read[digest] = d
}

func (p *Packs) open(ctx context.Context, digest string) (d declared, err error) {
	objects, err := p.js.ObjectStore(ctx, streams.ObjectsPacks)
	if err != nil {
		return d, fmt.Errorf("open object bucket %s: %w", streams.ObjectsPacks, err)
	}
	archive, err := objects.Get(ctx, digest)
	if err != nil {
		return d, fmt.Errorf("read archive: %w", err)
	}
	defer func() { _ = archive.Close() }() // it was only read
	dir, err := os.MkdirTemp(p.tempDir, "attune-secrets-")
	if err != nil {
		return d, fmt.Errorf("unpack: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder := filepath.Join(dir, "pack")
	got, err := pack.Unpack(archive, folder, pack.DefaultLimits())
	if err != nil {
		return d, fmt.Errorf("unpack: %w", err)
	}
	if got != digest {
		return d, fmt.Errorf("archive is of %s: %w", got, ErrRefused)
	}
	loaded, err := pack.Load(pack.Root(folder))
	if err != nil {
		return d, err
	}
	return declaredIn(loaded), nil
}

func declaredIn(p pack.Pack) declared {
	d := declared{actions: make(map[string][]string, len(p.Actions)), sensors: make(map[string][]string, len(p.Sensors))}
	for _, a := range p.Actions {
		d.actions[pack.Ref{Pack: p.Name, Name: a.Name}.String()] = a.Secrets
	}
	for _, s := range p.Sensors {
		names := slices.Concat(s.Secrets, s.Optional)
		places, _ := marker.InDocument(s.Config) // what it refers to was checked when the pack was loaded
		for _, ref := range marker.RefsOf(places) {
			names = append(names, string(ref))
		}
		d.sensors[pack.Ref{Pack: p.Name, Name: s.Name}.String()] = names
	}
	return d
}
