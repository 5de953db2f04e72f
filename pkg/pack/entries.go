package pack

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits bound a pack and its archive.
type Limits struct {
	Files    int   // how many entries
	Bytes    int64 // all of it, unpacked, with the archive's own overhead
	MaxDepth int   // folders in folders
}

// DefaultLimits are generous for code and far too small for a bomb.
func DefaultLimits() Limits { return Limits{Files: 10_000, Bytes: 256 << 20, MaxDepth: 32} }

const (
	maxPath      = 1024
	maxComponent = 255
)

// entries checks the names in a pack as they come. No two may be the same on a file system that ignores case
// or composes characters, because packs travel between such.
type entries struct {
	limits Limits
	seen   map[string]string // folded path to the path as it was written
	files  map[string]bool   // paths of files, as they were written
	count  int
}

func newEntries(l Limits) *entries {
	return &entries{limits: l, seen: map[string]string{}, files: map[string]bool{}}
}

// add checks an entry's name and returns it cleaned; "." is the pack's own folder. The error names no entry.
func (e *entries) add(name string, folder bool) (string, error) {
	if e.count++; e.count > e.limits.Files {
		return "", e.tooMany()
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	clean := path.Clean(name)
	if clean == "." {
		return clean, nil
	}
	if depth := strings.Count(clean, "/"); depth > e.limits.MaxDepth {
		return "", fmt.Errorf("more than %d folders deep", e.limits.MaxDepth)
	}
	for parent := path.Dir(clean); parent != "."; parent = path.Dir(parent) {
		if err := e.register(parent, true); err != nil {
			return "", err
		}
	}
	return clean, e.register(clean, folder)
}

func (e *entries) tooMany() error { return fmt.Errorf("more than %d entries", e.limits.Files) }

func (e *entries) register(clean string, folder bool) error {
	key := cases.Fold().String(norm.NFC.String(clean))
	other, seen := e.seen[key]
	switch {
	case seen && other != clean:
		return fmt.Errorf("differs from %q only in case or composition", other)
	case seen && (!folder || e.files[clean]):
		return fmt.Errorf("%q is there twice", clean)
	}
	if len(e.seen) >= e.limits.Files {
		return e.tooMany()
	}
	e.seen[key] = clean
	if !folder {
		e.files[clean] = true
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("an entry without a name")
	case !utf8.ValidString(name):
		return errors.New("name is not UTF-8")
	case len(name) > maxPath:
		return fmt.Errorf("name is longer than %d bytes", maxPath)
	case strings.HasPrefix(name, "/"):
		return errors.New("absolute name")
	case strings.ContainsRune(name, '\\'):
		return errors.New("backslash in the name")
	case strings.IndexFunc(name, unicode.IsControl) >= 0:
		return errors.New("control character in the name")
	}
	for component := range strings.SplitSeq(name, "/") {
		if component == ".." {
			return errors.New("name leads out of the pack")
		}
		if len(component) > maxComponent {
			return fmt.Errorf("part of the name is longer than %d bytes", maxComponent)
		}
	}
	return nil
}
