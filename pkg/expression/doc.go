// Package expression evaluates the CEL expressions that rules and actions are written with.
//
// Criteria decide whether a rule wants an event and say why not. Templates render parameters from
// "${{ CEL }}". Keys choose an action's queue. Whatever the expression and the data, an evaluation stays
// within a cost limit, a deadline and a size, has no side effect, and does not panic. A field that is
// missing is an error, never a match. Whole numbers stay exact at any size.
//
// Besides CEL's standard functions and optional values (event.payload.?name.orValue("none")) there are, on
// texts: charAt, indexOf, lastIndexOf, lowerAscii, replace, split, substring, trim, upperAscii, and join on
// lists of texts.
package expression
