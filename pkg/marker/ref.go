package marker

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Ref says which secret a marker stands for.
type Ref string

// Kind is a kind of Ref.
type Kind string

// The kinds.
const (
	Named  Kind = "named"  // NAME: a secret of a pack, else a global one
	OfUser Kind = "user"   // user/NAME: a secret of the user who asked for the execution
	Sealed Kind = "sealed" // execution/PATH: a value that was sealed for this execution alone
)

const (
	userPrefix   = "user/"
	sealedPrefix = "execution/"
	maxPath      = 512 // bytes of a sealed value's path
)

// ErrRef is returned when a text is not a reference to a secret.
var ErrRef = errors.New("not a reference to a secret")

// What names a secret; see pkg/secret.
var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,127}$`)

// ParseRef reads a reference.
func ParseRef(s string) (Ref, error) {
	switch r := Ref(s); r.Kind() {
	case Sealed:
		if n := len(r.Name()); n > 0 && n <= maxPath && utf8.ValidString(s) {
			return r, nil
		}
	case Named, OfUser:
		if namePattern.MatchString(r.Name()) {
			return r, nil
		}
	}
	return "", fmt.Errorf("%.80q: %w", s, ErrRef)
}

// SealedAt gives the reference to the value that was sealed at a path of a document.
func SealedAt(path []string) Ref {
	steps := make([]string, len(path))
	for i, step := range path {
		steps[i] = escape.Replace(step)
	}
	return Ref(sealedPrefix + strings.Join(steps, "/"))
}

// escape writes a step of a path as JSON pointers do.
var escape = strings.NewReplacer("~", "~0", "/", "~1")

// Kind tells what kind of secret it is.
func (r Ref) Kind() Kind {
	switch {
	case strings.HasPrefix(string(r), userPrefix):
		return OfUser
	case strings.HasPrefix(string(r), sealedPrefix):
		return Sealed
	default:
		return Named
	}
}

// Name gives the name within its scope, or the path of a sealed value.
func (r Ref) Name() string {
	return strings.TrimPrefix(strings.TrimPrefix(string(r), userPrefix), sealedPrefix)
}
