// Package definitions keeps the packs, actions, triggers, sensors and rules of an installation in PostgreSQL.
//
// Installing a pack is one transaction: all of it is there afterwards or nothing is. A rule never refers to a
// trigger or action that does not exist. Names belong to the source that brought them and cannot be taken
// over by another. Readers work on a Snapshot, which is complete and consistent and never changes; Watch hands
// out a new one soon after every change and goes on with the last one while PostgreSQL is away.
//
// A pack has versions: one in service, perhaps one on its way there, and those that can be put in service again.
// Their states are changed by compare-and-set, and going in service is the transaction that installs the pack.
package definitions
