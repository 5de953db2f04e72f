// Package access says who may do what.
//
// Whoever calls is a Principal: the administrator of the installation, an API token, a user. It holds grants, each of
// a verb on a kind of thing within a scope: one pack, what belongs to no pack (global), or everywhere. A role is a
// name for a set of grants. A Right is what an operation asks for.
//
// It guarantees that nothing is allowed that no grant says: there are no denials, no order of grants, and an empty
// principal may do nothing. Whoever may do anything with a kind in a scope may also see it there, so that a refusal
// never has to hide what the caller knows. A grant's text form is what it parses from, and the other way round.
//
// It knows nothing of HTTP, nor of how a principal proves who it is: package account keeps tokens and users.
package access
