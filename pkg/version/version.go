// Package version compares versions of runtimes and packs with ranges of them, such as ">=3.9, <3.13".
//
// It guarantees that a text which is not a version fits no range but the empty one, and that pre-releases fit a
// range only where it names one. The rules are those of github.com/Masterminds/semver, with "==" as another "=".
package version

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// ErrRange is returned when a text is not a range of versions.
var ErrRange = errors.New("not a range of versions such as >=3.9, <4")

// Range is a set of versions. The zero value holds every version.
type Range struct {
	text        string
	constraints *semver.Constraints
}

// ParseRange reads a range; "" holds every version.
func ParseRange(text string) (Range, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Range{}, nil
	}
	c, err := semver.NewConstraint(strings.ReplaceAll(text, "==", "="))
	if err != nil {
		return Range{}, fmt.Errorf("%q is %w", text, ErrRange)
	}
	return Range{text: text, constraints: c}, nil
}

// Holds tells whether a version is in the range. A version may leave parts out: "3.9" is "3.9.0".
func (r Range) Holds(version string) bool {
	if r.constraints == nil {
		return true
	}
	v, err := semver.NewVersion(version)
	return err == nil && r.constraints.Check(v)
}

// String gives the range as it was written.
func (r Range) String() string { return r.text }

// Compare orders two versions as semantic versioning says: below zero when a is older. A text that is not a version
// is older than any that is, and two such are ordered as texts.
func Compare(a, b string) int {
	va, errA := semver.NewVersion(a)
	vb, errB := semver.NewVersion(b)
	switch {
	case errA == nil && errB == nil:
		return va.Compare(vb)
	case errA == nil:
		return 1
	case errB == nil:
		return -1
	default:
		return strings.Compare(a, b)
	}
}
