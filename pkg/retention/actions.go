package retention

import (
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
)

// OfActions gives the policies that actions have of their own.
func OfActions(snap *definitions.Snapshot) map[string]Policy {
	own := map[string]Policy{}
	for ref, a := range snap.Actions {
		if p := OfAction(a.Spec); p != (Policy{}) {
			own[ref.String()] = p
		}
	}
	return own
}

// OfAction gives an action's own policy.
func OfAction(a pack.Action) Policy {
	r := a.Logs.Retention
	return Policy{Age: r.Age, Count: r.Count, Bytes: r.Bytes}
}

// VersionsOf gives the digests of the versions of packs that there are.
func VersionsOf(snap *definitions.Snapshot) []string {
	all := []string{}
	for _, v := range snap.Versions {
		all = append(all, v.Digest)
	}
	return all
}
