// Package installer brings versions of packs in service, and takes what nobody needs any more away.
//
// Whoever wants a version installed records it in PostgreSQL (see pkg/definitions). Of all copies of the installer the
// one that holds the lease tells the runners by an entry in INSTALLS, watches what they report in ENVIRONMENTS and who
// of them lives, and decides: wait, put the version in service, or give it up. It also keeps the buckets PLACEMENTS
// and CONFIGS as PostgreSQL has it.
//
// Guarantees: a version goes in service in one transaction, after the runners that its Switch names have it ready, and
// after PLACEMENTS holds what its executions ask for. A version that fails leaves the one before in service, and says
// why. All state is in PostgreSQL and changes by compare-and-set, so that any copy may die at any point, and two may
// believe for a moment that they lead. What cannot be done because PostgreSQL or NATS is away is tried again. Nothing of a version is
// removed while it is in service, while a rollback leads to it, or while an execution that was requested with it has
// not ended as far as a recorder that has caught up knows.
package installer
