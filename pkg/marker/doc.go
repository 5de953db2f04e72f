// Package marker is what stands for a secret value wherever a document is stored, sent or shown.
//
// A marker is an object with one key: {"$secret": REF} for a value, or {"$secret_text": ["Bearer ", {"$secret": REF}]}
// for a text that holds some. REF names a secret (NAME), one of the user who asked (user/NAME), or a value that was
// sealed for one execution (execution/PATH). Only Attune makes markers, and a runner puts the values in their places
// just before it starts a program.
//
// It guarantees that whatever is written with a marker's key is either a marker or an error, never data; that
// what is not a marker comes through Resolve as it was; and that a value is never looked into for further markers.
// No error of this package shows a value.
package marker
