package definitions

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/attune/attune/pkg/pack"
)

// Snapshot is all definitions as of one moment. Nobody changes it after it was made.
type Snapshot struct {
	Revision int64 // grows with every change

	Packs    map[string]Pack
	Actions  map[pack.Ref]Action
	Triggers map[pack.Ref]Trigger
	Sensors  map[pack.Ref]Sensor
	Rules    map[pack.Ref]Rule
	Versions []Version // of all packs, the newest of each first

	byTrigger map[pack.Ref][]Rule
}

// Pack is an installed pack.
type Pack struct {
	Name        string
	Version     string
	Description string
	Author      string
	Runtime     map[string]string
	Digest      string // of its archive in the bucket PACKS
	Source      string // who brought it, such as "shipped" or "api"
	By          string
	Schema      json.RawMessage // JSON Schema of Config; may be nil
	Config      json.RawMessage // the values that the installation set; an object
	CreatedAt   time.Time
	UpdatedAt   time.Time

	ConcurrencyLimit int // how many executions of all its actions run at once; 0: no limit
}

// Action is an installed action, with what a request needs to know of its pack.
type Action struct {
	Spec   pack.Action
	Pack   string
	Digest string
	Config json.RawMessage

	PackLimit int               // the pack's ConcurrencyLimit
	Ranges    map[string]string // the pack's Runtime
}

// Trigger is an installed trigger.
type Trigger struct {
	Spec pack.Trigger
	Pack string
}

// Sensor is an installed sensor, with what starting it needs to know of its pack.
type Sensor struct {
	Spec   pack.Sensor
	Pack   string
	Digest string
	Config json.RawMessage
}

// Rule is an installed rule. Its trigger and action exist.
type Rule struct {
	Ref       pack.Ref
	Spec      pack.Rule
	Trigger   pack.Ref
	Action    pack.Ref
	Enabled   bool
	Source    string // "pack", or what else brought it
	CreatedAt time.Time
	UpdatedAt time.Time
}

// RulesOf gives the enabled rules of a trigger in the order of their pack and name.
func (s *Snapshot) RulesOf(trigger pack.Ref) []Rule { return s.byTrigger[trigger] }

// VersionsOf gives the versions of a pack, the newest first.
func (s *Snapshot) VersionsOf(name string) []Version {
	var mine []Version
	for _, v := range s.Versions {
		if v.Pack == name {
			mine = append(mine, v)
		}
	}
	return mine
}

func (s *Snapshot) index() {
	s.byTrigger = map[pack.Ref][]Rule{}
	for _, r := range s.Rules {
		if r.Enabled {
			s.byTrigger[r.Trigger] = append(s.byTrigger[r.Trigger], r)
		}
	}
	for _, rules := range s.byTrigger {
		slices.SortFunc(rules, func(a, b Rule) int { return compareRefs(a.Ref, b.Ref) })
	}
}

func compareRefs(a, b pack.Ref) int {
	return cmp.Or(cmp.Compare(a.Pack, b.Pack), cmp.Compare(a.Name, b.Name))
}
