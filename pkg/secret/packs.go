package secret

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// maxPacks bounds how many packs' declarations are remembered.
const maxPacks = 256

// Packs reads declarations from pack archives, so that an execution gets what its own version of the pack
// declares, also when another one has been installed since.
type Packs struct {
	objects jetstream.ObjectStore
	tempDir string

	mu    sync.Mutex // guards known
	known map[string]map[string][]string
}

// NewPacks finds the archives. They are unpacked for a moment in tempDir; "" is the system's.
func NewPacks(ctx context.Context, js jetstream.JetStream, tempDir string) (*Packs, error) {
	objects, err := js.ObjectStore(ctx, streams.ObjectsPacks)
	if err != nil {
		return nil, fmt.Errorf("open object bucket %s: %w", streams.ObjectsPacks, err)
	}
	return &Packs{objects: objects, tempDir: tempDir, known: map[string]map[string][]string{}}, nil
}

// Declared tells which secrets an action declares.
func (p *Packs) Declared(ctx context.Context, action pack.Ref, digest string) ([]string, error) {
	p.mu.Lock()
	actions, ok := p.known[digest]
	p.mu.Unlock()
	if !ok {
		var err error
		if actions, err = p.read(ctx, digest); err != nil {
			return nil, fmt.Errorf("pack %.80q: %w", digest, err)
		}
		p.remember(digest, actions)
	}
	return actions[action.String()], nil
}

func (p *Packs) remember(digest string, actions map[string][]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxPacks {
		clear(p.known)
	}
	p.known[digest] = actions
}

func (p *Packs) read(ctx context.Context, digest string) (_ map[string][]string, err error) {
	archive, err := p.objects.Get(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	defer func() { _ = archive.Close() }() // it was only read
	dir, err := os.MkdirTemp(p.tempDir, "attune-secrets-")
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder := filepath.Join(dir, "pack")
	got, err := pack.Unpack(archive, folder, pack.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if got != digest {
		return nil, fmt.Errorf("archive is of %s: %w", got, ErrRefused)
	}
	loaded, err := pack.Load(pack.Root(folder))
	if err != nil {
		return nil, err
	}
	actions := make(map[string][]string, len(loaded.Actions))
	for _, a := range loaded.Actions {
		actions[pack.Ref{Pack: loaded.Name, Name: a.Name}.String()] = a.Secrets
	}
	return actions, nil
}
