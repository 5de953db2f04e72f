package access

import (
	"errors"
	"fmt"
	"slices"
)

// Role is a name for a set of rights.
type Role string

// The roles. Each may do all that the one before it may.
const (
	Viewer   Role = "viewer"   // sees what there is and what happens, but for names of secrets and for who may do what
	Operator Role = "operator" // runs and steers what is defined
	Editor   Role = "editor"   // changes what is defined
	Admin    Role = "admin"    // says who may do what
)

// Roles are all of them, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Editor, Admin} }

// rightsOf says what each role adds to the one before it.
var rightsOf = map[Role][]Right{
	Viewer: {
		{View, Actions},
		{View, Events},
		{View, Executions},
		{View, Metrics},
		{View, Packs},
		{View, Queues},
		{View, Rules},
		{View, Runners},
		{View, Sensors},
		{View, Triggers},
		{View, Webhooks},
	},
	Operator: {
		{Run, Actions},
		{Use, Secrets},
		{View, Secrets},
		{Operate, Events},
		{Operate, Executions},
		{Operate, Packs},
		{Operate, Queues},
		{Operate, Rules},
		{Operate, Runners},
		{Operate, Sensors},
		{Operate, Webhooks},
	},
	Editor: {{Edit, Packs}, {Edit, Rules}, {Edit, Secrets}, {Edit, Webhooks}},
	Admin:  {{View, Audit}, {View, Tokens}, {View, Users}, {Administer, Tokens}, {Administer, Users}},
}

// Rights gives all that a role may do; nothing for a role that there is not.
func (r Role) Rights() []Right {
	at := slices.Index(Roles(), r)
	var all []Right
	for _, role := range Roles()[:at+1] {
		all = append(all, rightsOf[role]...)
	}
	return all
}

// ErrRole is returned for a role that there is not, or that cannot be had within packs.
var ErrRole = errors.New("no such role")

// Grants gives the grants of a role within packs, or everywhere when none is named. Who may do what is said for the
// whole installation, so the role admin cannot be had within packs.
func (r Role) Grants(packs ...string) ([]Grant, error) {
	switch {
	case !slices.Contains(Roles(), r):
		return nil, fmt.Errorf("%w: %.40q; want one of %s", ErrRole, string(r), list(Roles()))
	case r == Admin && len(packs) > 0:
		return nil, fmt.Errorf("%w within packs: admin; want one of %s", ErrRole, list(Roles()[:3]))
	}
	scopes := []Scope{Everywhere}
	if len(packs) > 0 {
		scopes = nil
	}
	for _, p := range packs {
		if !packName.MatchString(p) {
			return nil, fmt.Errorf("%w: %.40q is no name of a pack", ErrGrant, p)
		}
		scopes = append(scopes, InPack(p))
	}
	var all []Grant
	for _, scope := range scopes {
		for _, right := range r.Rights() {
			if scope == Everywhere || !right.global() {
				all = append(all, Grant{Right: right, Scope: scope})
			}
		}
	}
	return all, nil
}

// global tells the rights on kinds that no pack has.
func (r Right) global() bool {
	switch r.Kind {
	case Audit, Metrics, Runners, Tokens, Users:
		return true
	case Actions, Events, Executions, Packs, Queues, Rules, Secrets, Sensors, Triggers, Webhooks:
	}
	return false
}
