package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// demand is what a route asks of whoever calls it. No route is registered without one.
type demand struct {
	right access.Right
	where where
	param string // of the path, where that names the object
	noun  string // what the object is called when it is said to be absent
	own   bool   // a user needs no right for what is his own; the handler knows what is
}

// where says how the object of a request is found.
type where string

const (
	nobody    where = "nobody"     // anybody may call, without a token
	anybody   where = "anybody"    // whoever is known may call
	whole     where = "whole"      // the object belongs to no pack
	inPath    where = "in path"    // the path names the pack
	byHandler where = "by handler" // the handler finds the object, and must ask with admit
	listed    where = "listed"     // the handler gives what is within reach, and must ask with reach
)

// openToAll is the demand of routes that take anybody.
func openToAll() demand { return demand{where: nobody} }

// anyCaller is the demand of routes for all who have proved who they are.
func anyCaller() demand { return demand{where: anybody} }

// mayAll demands a right that no pack limits.
func mayAll(v access.Verb, k access.Kind) demand {
	return demand{right: access.Right{Verb: v, Kind: k}, where: whole}
}

// mayAt demands a right on what a parameter of the path names: PACK.NAME, PACK, or _all. Who may not see it is told
// that there is no such noun, in the words in which that is said of what is not there.
func mayAt(v access.Verb, k access.Kind, param, noun string) demand {
	return demand{right: access.Right{Verb: v, Kind: k}, where: inPath, param: param, noun: noun}
}

// mayOne demands a right on an object that the handler finds. It must ask with admit.
func mayOne(v access.Verb, k access.Kind) demand {
	return demand{right: access.Right{Verb: v, Kind: k}, where: byHandler}
}

// mayOwn is mayOne for what may also be a user's own.
func mayOwn(v access.Verb, k access.Kind) demand {
	return demand{right: access.Right{Verb: v, Kind: k}, where: byHandler, own: true}
}

// mayListOwn is mayList for what may also be a user's own.
func mayListOwn(v access.Verb, k access.Kind) demand {
	return demand{right: access.Right{Verb: v, Kind: k}, where: listed, own: true}
}

// mayList demands a right on something at all. The handler must ask with reach, and leave out what is beyond it.
func mayList(v access.Verb, k access.Kind) demand {
	return demand{right: access.Right{Verb: v, Kind: k}, where: listed}
}

func (d demand) String() string {
	switch d.where {
	case nobody, anybody:
		return string(d.where)
	case whole, inPath, byHandler, listed:
	}
	text := d.right.String() + ", " + string(d.where)
	if d.own {
		text += ", or by the user whose own it is"
	}
	return text
}

// demandKey is where an operation keeps its demand.
const demandKey = "demand"

// enforce makes an operation ask for what op says that it demands, before anything else of the request is read.
func (s *Server) enforce(o huma.Operation) huma.Operation {
	d := o.Metadata[demandKey].(demand) // what op did not make is a fault of ours, seen at the start
	s.demands[o.Method+" "+o.Path] = d
	o.Extensions = map[string]any{"x-attune-right": d.String()}
	if d.where == nobody {
		o.Security = []map[string][]string{}
	}
	o.Middlewares = append(o.Middlewares, func(hctx huma.Context, next func(huma.Context)) {
		hctx = withDeed(hctx, o, d)
		if p := d.refuse(hctx.Context(), hctx.Param(d.param)); p != nil {
			s.auditRefused(hctx.Context(), d, p)
			_, w := humachi.Unwrap(hctx)
			write(w, p)
			return
		}
		next(hctx)
	})
	return o
}

// page adds a route that is not of the described API, under what it demands.
func (s *Server) page(r chi.Router, path string, d demand, h http.Handler) {
	s.demands[http.MethodGet+" "+path] = d
	r.Method(http.MethodGet, path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := d.refuse(r.Context(), ""); p != nil {
			write(w, p)
			return
		}
		h.ServeHTTP(w, r)
	}))
}

// refuse says why a request may not be made, as far as its path tells; nil when it may.
func (d demand) refuse(ctx context.Context, named string) *wire.Problem {
	p := access.From(ctx)
	switch {
	case d.where == nobody || d.where == anybody && p.Name != "":
		return nil
	case !p.MaySomewhere(d.right) && (!d.own || !isUser(p)):
		return forbidden(d.right, access.Everywhere)
	}
	switch d.where {
	case whole:
		return allow(p, d.right, access.Global, forbidden(d.right, access.Global))
	case inPath:
		return d.at(p, named)
	case nobody, anybody, byHandler, listed:
	}
	return nil
}

func isUser(p access.Principal) bool { _, is := p.User(); return is }

// at judges a request about what its path names.
func (d demand) at(p access.Principal, named string) *wire.Problem {
	absent := notFound(d.noun, named)
	if d.noun == queueNoun && strings.Contains(named, ".") {
		absent = notFound("action", named)
	}
	scope, ok := scopeOf(named)
	switch {
	case !ok && p.Reach(d.right).All:
		return nil // there is no such thing: the handler says so
	case !ok:
		return absent
	case scope == access.Global: // that there is all is no secret
		absent = forbidden(d.right, scope)
	}
	return allow(p, d.right, scope, absent)
}

// scopeOf reads in which scope the thing is that a text names: PACK.NAME, PACK, or _all.
func scopeOf(named string) (access.Scope, bool) {
	if named == streams.ScopeAll {
		return access.Global, true
	}
	ref, err := pack.ParseRef(named)
	if err != nil {
		ref, err = pack.ParseRef(named + ".x")
	}
	return access.InPack(ref.Pack), err == nil
}

// allow is nil when the principal has the right there. Who may see the object is told what is missing; to everybody
// else it is absent.
func allow(p access.Principal, r access.Right, in access.Scope, absent *wire.Problem) *wire.Problem {
	switch {
	case p.May(r, in):
		return nil
	case p.May(access.Right{Verb: access.View, Kind: r.Kind}, in):
		return forbidden(r, in)
	}
	return absent
}

func forbidden(r access.Right, in access.Scope) *wire.Problem {
	need := access.Grant{Right: r, Scope: in}
	return problem(http.StatusForbidden, wire.CodeForbidden, "you have no right to this; it takes: "+need.String())
}

// asked remembers whether a handler asked what its demand leaves to it.
type asked struct{ yes bool }

type askedKey struct{}

func markAsked(ctx context.Context) {
	if a, ok := ctx.Value(askedKey{}).(*asked); ok {
		a.yes = true
	}
}

// admit refuses who has no right on an object within a scope: as absent, unless it may be seen.
func (s *Server) admit(ctx context.Context, r access.Right, in access.Scope, absent *wire.Problem) error {
	markAsked(ctx)
	if p := allow(access.From(ctx), r, in, absent); p != nil {
		return p
	}
	return nil
}

// admitTo is admit for what a reference names. What is none, such as the trigger of a rejected event, belongs to no pack.
func (s *Server) admitTo(ctx context.Context, r access.Right, ref string, absent *wire.Problem) error {
	scope, ok := scopeOf(ref)
	if !ok {
		scope = access.Global
	}
	return s.admit(ctx, r, scope, absent)
}

// reach gives where the caller has a right, for a list to leave out the rest.
func (s *Server) reach(ctx context.Context, v access.Verb, k access.Kind) access.Reach {
	markAsked(ctx)
	return access.From(ctx).Reach(access.Right{Verb: v, Kind: k})
}

// caller names who calls, for what is recorded.
func caller(ctx context.Context) string { return access.From(ctx).Name }

// forgotten is an answer that nobody asked whether it may be given.
func forgotten(o huma.Operation) error {
	return fmt.Errorf("%s %s: the handler did not ask for the right that the route demands", o.Method, o.Path)
}
