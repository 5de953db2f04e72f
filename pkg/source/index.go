package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/attune/attune/pkg/packindex"
)

var (
	// ErrNoIndex is returned when a pack was named and there is no index to find it in.
	ErrNoIndex = errors.New("no index is set")
	// ErrNoKey is returned when no key is trusted to sign the index.
	ErrNoKey = errors.New("no key is trusted to sign it")
	// ErrOldIndex is returned when an index is older than one that was seen before.
	ErrOldIndex = errors.New("the index is older than it was")
)

// named opens a pack of the index.
func (f Fetcher) named(ctx context.Context, r Request, name, wanted string) (*Tree, error) {
	if f.Index == "" {
		return nil, fmt.Errorf("pack %s: %w; %w here either", r.Text, ErrNoIndex, ErrNotFound)
	}
	x, err := f.List(ctx)
	if err != nil {
		return nil, err
	}
	e, err := x.Find(name, wanted)
	if err != nil {
		return nil, err
	}
	archive, err := f.member(ctx, e.File, min(f.MaxBytes, e.Size))
	if err != nil {
		return nil, err
	}
	t, err := unpacked(e.File, archive, e.SHA256, r.Subdir, "index "+f.Index+" "+e.Name+"@"+e.Version)
	if err != nil {
		return nil, err
	}
	return t, f.same(t, e)
}

// same makes sure that an archive holds what the index says.
func (f Fetcher) same(t *Tree, e packindex.Entry) error {
	c, err := t.Check()
	if err == nil && (c.Digest != e.Digest || c.Pack.Name != e.Name || c.Pack.Version != e.Version) {
		err = fmt.Errorf("the archive %s holds %s %s with digest %s: %w", e.File, c.Pack.Name, c.Pack.Version, c.Digest, packindex.ErrIndex)
	}
	if err != nil {
		return errors.Join(err, t.Close())
	}
	return nil
}

// List gives the index, verified.
func (f Fetcher) List(ctx context.Context) (packindex.Index, error) {
	switch {
	case f.Index == "":
		return packindex.Index{}, ErrNoIndex
	case len(f.Keys) == 0:
		return packindex.Index{}, fmt.Errorf("index %s: %w", f.Index, ErrNoKey)
	}
	signature, err := f.member(ctx, packindex.SignatureName, 64<<10)
	if err != nil && !absent(err) {
		return packindex.Index{}, err
	}
	list, err := f.member(ctx, packindex.FileName, packindex.MaxBytes)
	if err != nil {
		return packindex.Index{}, err
	}
	x, err := packindex.Open(list, signature, f.Keys)
	if err != nil {
		return packindex.Index{}, fmt.Errorf("index %s: %w", f.Index, err)
	}
	return x, f.remember(x.Generation)
}

func absent(err error) bool {
	var status *statusError
	return errors.Is(err, os.ErrNotExist) || errors.As(err, &status) && (status.status == http.StatusNotFound || status.status == http.StatusGone)
}

// member reads a file of the index's folder.
func (f Fetcher) member(ctx context.Context, name string, limit int64) ([]byte, error) {
	if !strings.Contains(f.Index, "://") {
		return readBounded(filepath.Join(f.Index, name), limit)
	}
	u, err := webAddress(f.Index)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return f.get(ctx, u.JoinPath(name), limit)
}

func readBounded(name string, limit int64) ([]byte, error) {
	in, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("index: %w", err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("index: %s is larger than the %d bytes that it may have", name, limit)
	}
	return data, nil
}

// remember notices an index that is older than one that was seen before, and keeps its generation.
func (f Fetcher) remember(generation int64) error {
	if f.State == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(f.Index))
	file := filepath.Join(f.State, "index-"+hex.EncodeToString(sum[:8]))
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("index %s: %w", f.Index, err)
	}
	seen, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64) // what is no number was never written by us
	switch {
	case generation < seen:
		return fmt.Errorf("%w: %s has generation %d, and %d was seen before; somebody serves an old copy, or it was made anew: "+
			"if that is right, remove %s", ErrOldIndex, f.Index, generation, seen, file)
	case generation == seen:
		return nil
	}
	if err := os.MkdirAll(f.State, 0o700); err != nil {
		return fmt.Errorf("index %s: %w", f.Index, err)
	}
	if err := os.WriteFile(file, []byte(strconv.FormatInt(generation, 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("index %s: %w", f.Index, err)
	}
	return nil
}
