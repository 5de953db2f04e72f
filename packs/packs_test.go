package packs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/attune/attune/packs"
	"github.com/attune/attune/pkg/pack"
)

// Shipped packs have no mistakes, also as they are embedded: without executable bits.
func TestShippedPacksLoadAsTheyAreEmbedded(t *testing.T) {
	t.Parallel()
	for _, name := range packs.Shipped() {
		tree, err := fs.Sub(packs.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(dir, tree); err != nil {
			t.Fatal(err)
		}
		if p, err := pack.Load(dir); err != nil || p.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExamplesLoad(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"github", "hello"} {
		if p, err := pack.Load(filepath.Join("examples", name)); err != nil || p.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the embedded packs are is what the folder holds.
func TestNothingIsLeftOutOfTheEmbeddedPacks(t *testing.T) {
	t.Parallel()
	for _, name := range packs.Shipped() {
		if here, there := files(t, os.DirFS("."), name), files(t, packs.FS, name); !slices.Equal(here, there) {
			t.Errorf("%s: %v is embedded, want %v", name, there, here)
		}
	}
}

func files(t *testing.T, tree fs.FS, dir string) (names []string) {
	t.Helper()
	err := fs.WalkDir(tree, dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
