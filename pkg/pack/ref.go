package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DefaultTimeout is an action's timeout when it names none.
const DefaultTimeout = 10 * time.Minute

// DefaultPool is the pool of runners that serves actions which name none.
const DefaultPool = "default"

// ErrBadRef is returned when a text is not of the form "pack.name".
var ErrBadRef = errors.New("not of the form pack.name")

// namePattern is what ValidName looks for, for messages.
const namePattern = `^[a-z][a-z0-9_-]{0,62}$`

// maxName bounds a name's length.
const maxName = 63

// ValidName tells whether s may name a pack, action, trigger, sensor or rule.
// Action names may have inner dots in no case: a dot separates pack from name.
// It is asked several times about each event, which is why it is no regular expression.
func ValidName(s string) bool {
	if s == "" || len(s) > maxName || !lower(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !lower(c) && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }

// ParseRef reads "pack.name".
func ParseRef(s string) (Ref, error) {
	p, n, ok := strings.Cut(s, ".")
	if !ok || !ValidName(p) || !ValidName(n) {
		return Ref{}, fmt.Errorf("reference %q: %w", s, ErrBadRef)
	}
	return Ref{Pack: p, Name: n}, nil
}

// String gives "pack.name".
func (r Ref) String() string { return r.Pack + "." + r.Name }

// MarshalText gives "pack.name".
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "pack.name".
func (r *Ref) UnmarshalText(b []byte) error {
	ref, err := ParseRef(string(b))
	if err != nil {
		return err
	}
	*r = ref
	return nil
}

// Duration is a time.Duration that reads and writes as text, such as "90s".
type Duration time.Duration

// MarshalJSON gives the text form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads the text form.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration %s: %w", b, err)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("duration %q: %w", s, err)
	}
	*d = Duration(v)
	return nil
}

// Refs gives what a rule of the named pack refers to. A name without a pack means the rule's own pack.
func (r Rule) Refs(own string) (trigger, action Ref, err error) {
	if trigger, err = refIn(own, r.Trigger); err != nil {
		return Ref{}, Ref{}, fmt.Errorf("trigger: %w", err)
	}
	if action, err = refIn(own, r.Action); err != nil {
		return Ref{}, Ref{}, fmt.Errorf("action: %w", err)
	}
	return trigger, action, nil
}

func refIn(own, text string) (Ref, error) {
	if ValidName(text) {
		return Ref{Pack: own, Name: text}, nil
	}
	return ParseRef(text)
}

// ValidVersion tells whether s is a semantic version, as a pack's must be.
func ValidVersion(s string) bool { return semver.MatchString(s) }
