package installer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

var (
	// errGone is returned when an archive is not stored.
	errGone = errors.New("its archive is not stored any more; install it again")
	// errUnreadable is returned when an archive is stored but is not a pack that this program reads.
	errUnreadable = errors.New("its archive cannot be read")
)

// archives reads packs from their archives. The loop owns it.
type archives struct {
	js   jetstream.JetStream
	temp string
	read map[string]pack.Pack // of versions that are on their way; the others are many, and it is known what they ask
	asks map[string]asks      // of all
}

// asks is what has to be known of a version as long as it is there.
type asks struct {
	pools      []string
	placements map[string]streams.Placement
}

// asked gives what the pack of an archive asks.
func (a *archives) asked(ctx context.Context, digest string) (asks, error) {
	if known, ok := a.asks[digest]; ok {
		return known, nil
	}
	p, ok := a.read[digest]
	if !ok {
		var err error
		if p, err = a.open(ctx, digest); err != nil {
			return asks{}, err
		}
	}
	a.asks[digest] = asks{pools: Pools(p), placements: placement.OfPack(p)}
	return a.asks[digest], nil
}

// pack gives the pack of an archive.
func (a *archives) pack(ctx context.Context, digest string) (pack.Pack, error) {
	if p, ok := a.read[digest]; ok {
		return p, nil
	}
	p, err := a.open(ctx, digest)
	if err == nil {
		a.read[digest] = p
	}
	return p, err
}

func (a *archives) open(ctx context.Context, digest string) (pack.Pack, error) {
	data, err := call(ctx, func(ctx context.Context) ([]byte, error) { return a.fetch(ctx, digest) })
	if err != nil {
		return pack.Pack{}, err
	}
	return a.load(digest, data)
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

// keep forgets all other archives, and of those that are not on their way the packs.
func (a *archives) keep(coming map[string]bool) {
	maps.DeleteFunc(a.read, func(digest string, _ pack.Pack) bool { return !coming[digest] })
	maps.DeleteFunc(a.asks, func(digest string, _ asks) bool { _, there := coming[digest]; return !there })
}
