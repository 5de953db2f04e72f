package installer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

var (
	// errGone is returned when an archive is not stored.
	errGone = errors.New("its archive is not stored any more; install it again")
	// errUnreadable is returned when an archive is stored but is not a pack that this program reads.
	errUnreadable = errors.New("its archive cannot be read")
)

// archives reads packs from their archives, each once. The loop owns it.
type archives struct {
	js   jetstream.JetStream
	temp string
	read map[string]pack.Pack
}

// pack gives the pack of an archive.
func (a *archives) pack(ctx context.Context, digest string) (pack.Pack, error) {
	if p, ok := a.read[digest]; ok {
		return p, nil
	}
	data, err := call(ctx, func(ctx context.Context) ([]byte, error) { return a.fetch(ctx, digest) })
	if err != nil {
		return pack.Pack{}, err
	}
	p, err := a.load(digest, data)
	if err != nil {
		return pack.Pack{}, err
	}
	a.read[digest] = p
	return p, nil
}

func (a *archives) fetch(ctx context.Context, digest string) ([]byte, error) {
	objects, err := a.js.ObjectStore(ctx, streams.ObjectsPacks)
	if err != nil {
		return nil, fmt.Errorf("open object bucket %s: %w", streams.ObjectsPacks, err)
	}
	data, err := objects.GetBytes(ctx, digest)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("read archive %s: %w", digest, err)
	}
	return data, nil
}

func (a *archives) load(digest string, data []byte) (p pack.Pack, err error) {
	dir, err := os.MkdirTemp(a.temp, "attune-installer-")
	if err != nil {
		return p, fmt.Errorf("read archive %s: %w", digest, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder := filepath.Join(dir, "pack")
	switch got, err := pack.Unpack(bytes.NewReader(data), folder, pack.DefaultLimits()); {
	case errors.Is(err, pack.ErrArchive):
		return p, fmt.Errorf("%w: %w", errUnreadable, err)
	case err != nil:
		return p, fmt.Errorf("unpack archive %s: %w", digest, err)
	case got != digest:
		return p, fmt.Errorf("%w: its digest is %s", errUnreadable, got)
	}
	p, err = pack.Load(folder)
	if _, mistaken := errors.AsType[pack.Mistakes](err); mistaken {
		return p, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return p, err
}

// keep forgets the packs of all other archives.
func (a *archives) keep(digests map[string]bool) {
	for digest := range a.read {
		if !digests[digest] {
			delete(a.read, digest)
		}
	}
}
