package definitions

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// VersionState is what becomes of a version of a pack.
type VersionState string

// The states of a version. One of a pack is active, and at most one is building or ready.
const (
	VersionBuilding VersionState = "building" // runners have it made ready
	VersionReady    VersionState = "ready"    // they have, and it waits to be told to go in service
	VersionActive   VersionState = "active"
	VersionKept     VersionState = "kept" // it was active and can be again
	VersionFailed   VersionState = "failed"
	VersionRetired  VersionState = "retired" // its pack is uninstalled; it stays for executions that still need it
)

// Switch says when a version goes in service.
type Switch string

// The moments at which a version goes in service.
const (
	SwitchAll   Switch = "all"   // every living runner of its pools has it ready; the default
	SwitchAny   Switch = "any"   // one has
	SwitchNow   Switch = "now"   // at once; runners make it ready when they come to it
	SwitchNever Switch = "never" // when somebody says so, after all have it ready
)

// Switches lists all of them.
func Switches() []Switch { return []Switch{SwitchAll, SwitchAny, SwitchNow, SwitchNever} }

// Version is a version of a pack.
type Version struct {
	Pack        string
	Digest      string
	Version     string
	Source      string
	By          string
	Origin      string // where its archive came from, exactly; "" when nobody said
	State       VersionState
	Switch      Switch
	Generation  int // which try this is, from 1
	Runner      string
	Error       string // why it failed
	Tail        []string
	RequestedAt time.Time  // of this try
	SwitchedAt  *time.Time // when it went in service last
	EndedAt     *time.Time // when it left service, failed or was uninstalled
}

// Coming tells whether the version may still go in service by itself or by a word.
func (v Version) Coming() bool { return v.State == VersionBuilding || v.State == VersionReady }

// returnable tells whether it has been in service and left it.
func (v Version) returnable() bool {
	return v.SwitchedAt != nil && (v.State == VersionKept || v.State == VersionFailed)
}

// Previous gives the version that a rollback leads to: of those that were in service the one that was last.
func Previous(versions []Version) (Version, bool) {
	var last Version
	for _, v := range versions {
		if v.returnable() && (last.SwitchedAt == nil || v.SwitchedAt.After(*last.SwitchedAt)) {
			last = v
		}
	}
	return last, last.SwitchedAt != nil
}

// newestFirst orders versions by the name of their pack, and then by when they were asked for.
func newestFirst(versions []Version) {
	slices.SortFunc(versions, func(a, b Version) int {
		return cmp.Or(cmp.Compare(a.Pack, b.Pack), b.RequestedAt.Compare(a.RequestedAt), cmp.Compare(a.Digest, b.Digest))
	})
}

// ErrStale is returned when a version is not any more what a decision about it was based on.
var ErrStale = errors.New("the version has changed meanwhile")

// ErrNoVersion is returned when a pack has no version that the request could mean; the text says which there are.
var ErrNoVersion = errors.New("no such version")
