package definitions

import (
	"errors"
	"fmt"
	"strings"

	"github.com/attune/attune/pkg/pack"
)

// ErrNotFound is returned when the named pack, action, trigger or rule does not exist.
var ErrNotFound = errors.New("not found")

// ErrConflict is matched by a ConflictError.
var ErrConflict = errors.New("name belongs to another source")

// ErrInUse is matched by an InUseError.
var ErrInUse = errors.New("in use")

// ErrMissing is matched by a MissingError.
var ErrMissing = errors.New("refers to what is not installed")

// ErrBadConfig is returned when a pack's configuration does not fit its schema; the text says where.
var ErrBadConfig = errors.New("configuration does not fit")

// ConflictError says that a name is taken.
type ConflictError struct {
	Kind  string // "pack" or "rule"
	Name  string
	Owner string // the source that owns it
	By    string // the source that asked for it
}

// Error says who owns the name.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s %q belongs to source %q and cannot be replaced from source %q; uninstall it there first",
		e.Kind, e.Name, e.Owner, e.By)
}

// Is makes it an ErrConflict.
func (*ConflictError) Is(target error) bool { return target == ErrConflict }

// InUseError says which rules of other packs still need a pack's trigger or action.
type InUseError struct {
	Pack string
	Uses []Use
}

// Use is a rule that needs something.
type Use struct {
	Rule  pack.Ref
	Kind  string // "trigger" or "action"
	Needs pack.Ref
}

// Error names the rules.
func (e *InUseError) Error() string {
	texts := make([]string, len(e.Uses))
	for i, u := range e.Uses {
		texts[i] = fmt.Sprintf("rule %s needs %s %s", u.Rule, u.Kind, u.Needs)
	}
	return fmt.Sprintf("pack %q is in use: %s", e.Pack, strings.Join(texts, ", "))
}

// Is makes it an ErrInUse.
func (*InUseError) Is(target error) bool { return target == ErrInUse }

// MissingError says what a pack's rules refer to that is not installed.
type MissingError struct {
	Pack  string
	Needs []Use
}

// Error names the rules and what they need.
func (e *MissingError) Error() string {
	texts := make([]string, len(e.Needs))
	for i, u := range e.Needs {
		texts[i] = fmt.Sprintf("rule %s refers to %s %s, which is not installed", u.Rule, u.Kind, u.Needs)
	}
	return fmt.Sprintf("pack %q: %s", e.Pack, strings.Join(texts, "; "))
}

// Is makes it an ErrMissing.
func (*MissingError) Is(target error) bool { return target == ErrMissing }
