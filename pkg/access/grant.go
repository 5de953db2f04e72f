package access

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Scope says where a grant holds, or where a thing is: in one pack ("pack:demo"), in none ("global"), or, of a grant
// only, everywhere ("").
type Scope string

// The scopes that are not a pack's.
const (
	Everywhere Scope = ""
	Global     Scope = "global"
)

// InPack is the scope of what belongs to a pack.
func InPack(name string) Scope { return Scope("pack:" + name) }

// Pack gives the pack's name, or false for a scope that is none.
func (s Scope) Pack() (string, bool) { return strings.CutPrefix(string(s), "pack:") }

// Grant allows a right within a scope.
type Grant struct {
	Right
	Scope Scope
}

// String gives the text that ParseGrant reads: "run actions in pack demo", "use secrets in global", "view events".
func (g Grant) String() string {
	if name, ok := g.Scope.Pack(); ok {
		return g.Right.String() + " in pack " + name
	}
	if g.Scope == Global {
		return g.Right.String() + " in global"
	}
	return g.Right.String()
}

// MarshalText gives the text form.
func (g Grant) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the text form.
func (g *Grant) UnmarshalText(text []byte) (err error) {
	*g, err = ParseGrant(string(text))
	return err
}

// ErrGrant is returned for a text that is no grant.
var ErrGrant = errors.New("no such grant")

// packName is what a pack may be called.
var packName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// ParseGrant reads VERB KIND, which holds everywhere, VERB KIND in pack NAME, or VERB KIND in global.
func ParseGrant(text string) (Grant, error) {
	words := strings.Split(text, " ")
	if len(words) < 2 {
		return Grant{}, fmt.Errorf("%w: want VERB KIND [in pack NAME | in global], such as: run actions in pack demo", ErrGrant)
	}
	g := Grant{Right: Right{Verb: Verb(words[0]), Kind: Kind(words[1])}}
	verbs, ok := verbsOf[g.Kind]
	switch {
	case !ok:
		return Grant{}, fmt.Errorf("%w: there is no kind %.40q; want one of %s", ErrGrant, words[1], list(Kinds()))
	case !g.known():
		return Grant{}, fmt.Errorf("%w: %.40q is nothing that can be done to %s; want one of %s", ErrGrant, words[0], g.Kind, list(verbs))
	}
	switch rest := words[2:]; {
	case len(rest) == 0:
	case len(rest) == 2 && rest[0] == "in" && rest[1] == "global":
		g.Scope = Global
	case len(rest) == 3 && rest[0] == "in" && rest[1] == "pack" && packName.MatchString(rest[2]):
		g.Scope = InPack(rest[2])
	default:
		return Grant{}, fmt.Errorf("%w: behind the kind want nothing, in pack NAME, or in global", ErrGrant)
	}
	return g, nil
}

func list[T ~string](all []T) string {
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}
