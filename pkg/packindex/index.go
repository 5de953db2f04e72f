package packindex

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/pkg/version"
)

const (
	// FileName is the name of the list.
	FileName = "index.json"
	// SignatureName is the name of its signature.
	SignatureName = "index.json.sig"
	// MaxBytes bounds the list.
	MaxBytes = 16 << 20
	// format is the version of the form of the list.
	format = 1
)

var (
	// ErrIndex is matched by every error about an index that cannot be used as it is.
	ErrIndex = errors.New("index refused")
	// ErrNotInIndex is returned when an index has no version of a pack that was asked for.
	ErrNotInIndex = errors.New("not in the index")
)

// Index is a list of packs.
type Index struct {
	Format     int     `json:"format"`
	Generation int64   `json:"generation"` // grows with every change, so that an old copy is noticed
	Packs      []Entry `json:"packs"`      // by name, then newest first
}

// Entry is one version of a pack.
type Entry struct {
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Description string    `json:"description,omitempty"`
	Digest      string    `json:"digest"` // of the pack's content, as pack.Archive gives it
	SHA256      string    `json:"sha256"` // of the archive's bytes
	Size        int64     `json:"size"`   // of the archive, in bytes
	File        string    `json:"file"`   // the archive's name in the index's folder
	Created     time.Time `json:"created"`
}

// Open verifies a list with its signature and reads it. Keys are those that are trusted.
func Open(list, signature []byte, keys []PublicKey) (Index, error) {
	if err := verify(list, signature, keys); err != nil {
		return Index{}, err
	}
	return parse(list)
}

// parse reads a list that can be trusted or is about to be replaced.
func parse(list []byte) (Index, error) {
	if len(list) > MaxBytes {
		return Index{}, fmt.Errorf("%w: larger than %d bytes", ErrIndex, MaxBytes)
	}
	var x Index
	if _, err := strictjson.Parse(list); err != nil {
		return Index{}, fmt.Errorf("%w: %w", ErrIndex, err)
	}
	if err := json.Unmarshal(list, &x); err != nil {
		return Index{}, fmt.Errorf("%w: %w", ErrIndex, err)
	}
	if x.Format != format {
		return Index{}, fmt.Errorf("%w: its format is %d; this Attune reads format %d", ErrIndex, x.Format, format)
	}
	for _, e := range x.Packs {
		if err := e.check(); err != nil {
			return Index{}, fmt.Errorf("%w: pack %.100q version %.100q: %w", ErrIndex, e.Name, e.Version, err)
		}
	}
	return x, nil
}

var (
	hexSum   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,250}$`)
)

func (e Entry) check() error {
	switch {
	case !pack.ValidName(e.Name):
		return errors.New("the name is not allowed")
	case !pack.ValidVersion(e.Version):
		return errors.New("not a semantic version")
	case !hexSum.MatchString(e.Digest) || !hexSum.MatchString(e.SHA256):
		return errors.New("digest or sha256 is not 64 hexadecimal digits")
	case e.Size <= 0:
		return errors.New("the size is missing")
	case !fileName.MatchString(e.File) || e.File == FileName || e.File == SignatureName:
		return fmt.Errorf("file %.100q is not a file of the index's folder", e.File)
	default:
		return nil
	}
}

// Find gives the newest version of a pack within a range. A version that is named exactly is found whatever else
// there is; pre-releases are found only where the range names one.
func (x Index) Find(name, wanted string) (Entry, error) {
	r, err := version.ParseRange(wanted)
	if err != nil {
		return Entry{}, err
	}
	var best *Entry
	var seen []string
	for i, e := range x.Packs {
		if e.Name != name {
			continue
		}
		if seen = append(seen, e.Version); e.Version == wanted {
			return e, nil
		}
		if (wanted != "" || !strings.Contains(e.Version, "-")) && r.Holds(e.Version) && (best == nil || version.Compare(e.Version, best.Version) > 0) {
			best = &x.Packs[i]
		}
	}
	switch {
	case best != nil:
		return *best, nil
	case len(seen) == 0:
		return Entry{}, fmt.Errorf("pack %q is %w", name, ErrNotInIndex)
	default:
		return Entry{}, fmt.Errorf("pack %s %s is %w, which has %s", name, wanted, ErrNotInIndex, strings.Join(seen[:min(len(seen), 20)], ", "))
	}
}

// Newest gives the newest version of every pack.
func (x Index) Newest() []Entry {
	var out []Entry
	for _, e := range x.Packs {
		if len(out) == 0 || out[len(out)-1].Name != e.Name {
			out = append(out, e)
		}
	}
	return out
}

func (x *Index) sort() {
	slices.SortFunc(x.Packs, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), version.Compare(b.Version, a.Version), cmp.Compare(a.Version, b.Version))
	})
}
