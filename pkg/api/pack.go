package api

import (
	"encoding/json"
	"time"

	"github.com/attune/attune/streams"
)

// States of a pack and of its versions.
const (
	PackBuilding = "building" // a version is made ready on the runners
	PackReady    = "ready"    // it is ready, and goes in service when somebody says so
	PackActive   = "active"
	PackKept     = "kept" // it was in service and can be again
	PackFailed   = "failed"
	PackRetired  = "retired" // its pack is uninstalled, and executions may still need it
)

// The moments at which a version goes in service.
const (
	SwitchAll   = "all"
	SwitchAny   = "any"
	SwitchNow   = "now"
	SwitchNever = "never"
)

// PackInstalled is the answer to a pack that was taken.
type PackInstalled struct {
	Pack
	Change     string `json:"change" enum:"installed,upgraded,unchanged"`
	Was        string `json:"was,omitempty" doc:"The version that it replaces."`
	Generation int    `json:"generation,omitempty" doc:"Which try of this archive it is."`
}

// PackVersion is a version of a pack.
type PackVersion struct {
	Version     string     `json:"version"`
	Digest      string     `json:"digest"`
	State       string     `json:"state" enum:"building,ready,active,kept,failed,retired"`
	Previous    bool       `json:"previous,omitempty" doc:"A rollback leads to it."`
	Switch      string     `json:"switch" enum:"all,any,now,never" doc:"When it goes in service: when all living runners of its pools have it ready, when one has, at once, or when somebody says so."`
	Generation  int        `json:"generation" doc:"Which try of this archive it is."`
	Source      string     `json:"source"`
	Origin      string     `json:"origin,omitempty" doc:"Where its archive came from, exactly: an address with its sum, a commit, an index."`
	InstalledBy string     `json:"installed_by,omitempty"`
	RequestedAt time.Time  `json:"requested_at" doc:"When this try began."`
	SwitchedAt  *time.Time `json:"switched_at,omitempty" doc:"When it went in service last."`
	EndedAt     *time.Time `json:"ended_at,omitempty" doc:"When it left service or failed."`
	Runner      string     `json:"runner,omitempty" doc:"Where it failed."`
	Error       string     `json:"error,omitempty" doc:"Why it failed."`
	Tail        []string   `json:"tail,omitempty" doc:"The last lines of what failed."`
}

// PackRunner is how far a runner is with a version of a pack.
type PackRunner struct {
	streams.Environment
	Installs bool     `json:"installs" doc:"It makes versions ready ahead of time. Nobody waits for one that does not."`
	Draining bool     `json:"draining,omitempty"`
	Seconds  *float64 `json:"seconds,omitempty" doc:"How long it took, or has taken so far."`
}

// PackStatus is a pack with its versions, and how far the living runners of its pools are.
type PackStatus struct {
	Name     string        `json:"name"`
	State    string        `json:"state" enum:"active,building,ready,failed"`
	Version  string        `json:"version,omitempty" doc:"The one in service."`
	Versions []PackVersion `json:"versions" nullable:"false" doc:"The newest first."`
	Runners  []PackRunner  `json:"runners" nullable:"false" doc:"For the version in service and the one that is on its way or failed last."`
}

// PackRollback asks for a version that was in service before.
type PackRollback struct {
	Version string `json:"version,omitempty" doc:"A version that is kept, or the beginning of its digest; the one that was in service before when absent."`
}

// PackConfig is the configuration of a pack: the values that this installation sets.
type PackConfig struct {
	Config json.RawMessage `json:"config" doc:"An object that fits the pack's schema."`
	Schema json.RawMessage `json:"schema,omitempty" readOnly:"true" doc:"JSON Schema that the pack declares; in answers only."`
}

// PackUninstalled is the answer to a pack that was removed.
type PackUninstalled struct {
	Uninstalled  string   `json:"uninstalled"`
	RemovedRules []string `json:"removed_rules" nullable:"false" doc:"Rules of other packs that needed it and went with it."`
}
