// Package definitions keeps the packs, actions, triggers, sensors and rules of an installation in PostgreSQL.
//
// Installing a pack is one transaction: all of it is there afterwards or nothing is. A rule never refers to a
// trigger or action that does not exist. Names belong to the source that brought them and cannot be taken
// over by another. Readers work on a Snapshot, which is complete and consistent and never changes; Watch hands
// out a new one soon after every change and goes on with the last one while PostgreSQL is away.
package definitions
