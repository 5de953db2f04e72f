package packindex

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/attune/attune/pkg/pack"
)

// Added is a pack to put into an index.
type Added struct {
	Pack    pack.Pack
	Digest  string
	Archive []byte
	Created time.Time
}

// Built is what Build did.
type Built struct {
	Index
	New     []Entry // what was not in the index before
	Changed bool    // the list is another than before
}

// Build puts packs into the index in a folder, which it makes, and signs the list when there is a key. Versions that
// the index has already stay. The same version with other content is refused: who installed it would not notice.
func Build(dir string, packs []Added, key *PrivateKey) (Built, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Built{}, fmt.Errorf("build index: %w", err)
	}
	old, before, err := existing(dir)
	if err != nil {
		return Built{}, err
	}
	built := Built{Index: Index{Format: format, Generation: before.Generation, Packs: slices.Clone(before.Packs)}}
	for _, a := range packs {
		if err := built.add(dir, a); err != nil {
			return Built{}, fmt.Errorf("pack %s %s: %w", a.Pack.Name, a.Pack.Version, err)
		}
	}
	if built.Changed = old == nil || len(built.New) > 0; built.Changed {
		built.Generation++
	}
	return built, built.write(dir, key)
}

// existing reads the index that a folder has.
func existing(dir string) ([]byte, Index, error) {
	old, err := os.ReadFile(filepath.Join(dir, FileName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, Index{}, nil
	case err != nil:
		return nil, Index{}, fmt.Errorf("build index: %w", err)
	}
	x, err := parse(old)
	if err != nil {
		return nil, Index{}, fmt.Errorf("%s: %w", filepath.Join(dir, FileName), err)
	}
	return old, x, nil
}

func (b *Built) add(dir string, a Added) error {
	sum := sha256.Sum256(a.Archive)
	e := Entry{
		Name: a.Pack.Name, Version: a.Pack.Version, Description: a.Pack.Description, Digest: a.Digest,
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(a.Archive)), Created: a.Created.UTC().Truncate(time.Second),
		File: a.Pack.Name + "-" + a.Pack.Version + ".tar.zst",
	}
	i := slices.IndexFunc(b.Packs, func(o Entry) bool { return o.Name == e.Name && o.Version == e.Version })
	switch {
	case i < 0:
	case b.Packs[i].Digest != e.Digest:
		return errors.New("the index has this version already, with other content: raise the version in pack.yaml")
	default:
		return nil
	}
	if err := e.check(); err != nil {
		return err
	}
	b.Packs, b.New = append(b.Packs, e), append(b.New, e)
	return write(filepath.Join(dir, e.File), a.Archive)
}

// write puts the list in place last: until then everything it names is there.
func (b *Built) write(dir string, key *PrivateKey) error {
	b.sort()
	var list bytes.Buffer
	out := json.NewEncoder(&list)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(b.Index); err != nil {
		return fmt.Errorf("build index: %w", err)
	}
	if list.Len() > MaxBytes {
		return fmt.Errorf("build index: the list is larger than %d bytes", MaxBytes)
	}
	if key != nil {
		sig, err := key.Sign(list.Bytes())
		if err != nil {
			return fmt.Errorf("sign index: %w", err)
		}
		if err := write(filepath.Join(dir, SignatureName), sig); err != nil {
			return err
		}
	} else if err := os.Remove(filepath.Join(dir, SignatureName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build index: %w", err) // a signature of another list would only confuse
	}
	return write(filepath.Join(dir, FileName), list.Bytes())
}

// write replaces a file, at once or not at all.
func write(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".index-*")
	if err != nil {
		return fmt.Errorf("build index: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is there only when something else failed
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("build index: %w", err)
	}
	return nil
}
