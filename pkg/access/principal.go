package access

import (
	"context"
	"slices"
	"strings"
)

// Principal is who calls. The zero value may do nothing.
type Principal struct {
	Name   string // "admin", "token:NAME" or "user:NAME"; it is what executions and the audit name
	Grants []Grant
}

// Administrator is who holds the token of the installation.
const Administrator = "admin"

// NameOfToken and NameOfUser give the names of principals.
func NameOfToken(name string) string { return "token:" + name }

// NameOfUser gives the name of the principal that is a user.
func NameOfUser(name string) string { return "user:" + name }

// User gives the user's name, or false for a principal that is none.
func (p Principal) User() (string, bool) { return strings.CutPrefix(p.Name, "user:") }

// Root is the principal that may do everything: the administrator of the installation.
func Root() Principal {
	grants, _ := Admin.Grants() // the role exists
	return Principal{Name: Administrator, Grants: grants}
}

// May tells whether the principal has a right on something in a scope.
func (p Principal) May(r Right, in Scope) bool {
	return slices.ContainsFunc(p.Grants, func(g Grant) bool { return g.gives(r) && (g.Scope == Everywhere || g.Scope == in) })
}

// MaySomewhere tells whether there is any scope in which the principal has a right.
func (p Principal) MaySomewhere(r Right) bool {
	return slices.ContainsFunc(p.Grants, func(g Grant) bool { return g.gives(r) })
}

// Reach gives where the principal has a right.
func (p Principal) Reach(r Right) Reach {
	var reach Reach
	for _, g := range p.Grants {
		if !g.gives(r) {
			continue
		}
		if g.Scope == Everywhere {
			return Reach{All: true}
		}
		if !slices.Contains(reach.Scopes, g.Scope) {
			reach.Scopes = append(reach.Scopes, g.Scope)
		}
	}
	return reach
}

// gives tells whether a grant is of a right: doing anything with a kind is also seeing it.
func (g Grant) gives(r Right) bool {
	return g.Kind == r.Kind && (g.Verb == r.Verb || r.Verb == View)
}

// Reach is a set of scopes. The zero value is empty.
type Reach struct {
	All    bool
	Scopes []Scope // when not All
}

// Has tells whether a scope is within reach.
func (r Reach) Has(s Scope) bool { return r.All || slices.Contains(r.Scopes, s) }

// HasPack tells whether a pack is within reach.
func (r Reach) HasPack(name string) bool { return r.Has(InPack(name)) }

// Packs gives the packs within reach, sorted; nil when all are.
func (r Reach) Packs() []string {
	if r.All {
		return nil
	}
	names := []string{}
	for _, s := range r.Scopes {
		if name, ok := s.Pack(); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

type contextKey struct{}

// With gives a context in which the principal is who calls.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From gives who calls; a context that does not say has a principal that may do nothing.
func From(ctx context.Context) Principal {
	p, _ := ctx.Value(contextKey{}).(Principal)
	return p
}
