// Package placement tells which runners can run an action.
//
// An action asks for a pool, for its runtime in the range of versions that its pack names, and perhaps for labels.
// What it asks beyond the pool is a placement. Executions with one are handed out under a token of their own in the
// place of the pool's, and every runner of the pool that has all of it takes from there too: nobody chooses a
// runner, and a runner is never given what it cannot run.
//
// The package is pure. It guarantees that the same demands have the same token on every machine, that the token of
// no demands is the pool itself, and that Missing is empty exactly for the runners that take the executions.
package placement

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/version"
	"github.com/attune/attune/streams"
)

// everywhere are runtimes that every runner has as long as nobody asks for a version.
var everywhere = map[string]bool{"shell": true, "native": true}

// Of gives what an action asks of its runner. The ranges are those of its pack.
func Of(ranges map[string]string, a pack.Action) streams.Placement {
	p := streams.Placement{Version: streams.Version, Pool: a.Pool, Labels: a.RunsOn.Labels, Wait: a.RunsOn.IfNone == pack.IfNoneWait}
	if p.Pool == "" {
		p.Pool = pack.DefaultPool
	}
	if want := ranges[a.Runtime]; want != "" || !everywhere[a.Runtime] {
		p.Runtimes = map[string]string{a.Runtime: want}
	}
	return p
}

// OfPack gives the placements of all actions of a pack by their tokens. Those without demands are left out.
func OfPack(p pack.Pack) map[string]streams.Placement {
	all := map[string]streams.Placement{}
	for _, a := range p.Actions {
		if of := Of(p.Runtime, a); demanding(of) {
			all[Token(of)] = of
		}
	}
	return all
}

func demanding(p streams.Placement) bool { return len(p.Runtimes) > 0 || len(p.Labels) > 0 }

// separator stands between the pool and what tells its placements apart. No pool's name holds it, and keys of
// buckets may.
const separator = "="

// Token is what stands for the pool in subjects.
func Token(p streams.Placement) string {
	if !demanding(p) {
		return p.Pool
	}
	text, err := json.Marshal([]any{p.Runtimes, p.Labels, p.Wait}) // maps are written in the order of their keys
	if err != nil {
		panic(err) // maps of texts can be written
	}
	sum := sha256.Sum256(text)
	return p.Pool + separator + hex.EncodeToString(sum[:5])
}

// Pool is the pool of a token.
func Pool(token string) string {
	pool, _, _ := strings.Cut(token, separator)
	return pool
}

// Missing tells what a placement asks for and a runner does not have, runtimes first, in the order of their names.
func Missing(p streams.Placement, r streams.RunnerInfo) []streams.Missing {
	missing := MissingRuntimes(p.Runtimes, r.Runtimes)
	for _, name := range slices.Sorted(maps.Keys(p.Labels)) {
		if has, ok := r.Labels[name]; !ok || has != p.Labels[name] {
			m := streams.Missing{Label: name, Want: p.Labels[name]}
			if ok {
				m.Have = []string{has}
			}
			missing = append(missing, m)
		}
	}
	return missing
}

// MissingRuntimes tells which runtimes of those ranges are not among what was found.
func MissingRuntimes(ranges map[string]string, found []streams.Runtime) (missing []streams.Missing) {
	for _, name := range slices.Sorted(maps.Keys(ranges)) {
		want, err := version.ParseRange(ranges[name])
		m := streams.Missing{Runtime: name, Want: ranges[name]}
		fits := false
		for _, f := range found {
			if f.Name == name {
				m.Have = append(m.Have, f.Version)
				fits = fits || err == nil && want.Holds(f.Version)
			}
		}
		if !fits {
			missing = append(missing, m)
		}
	}
	return missing
}

// Describe says in words what is missing, such as `python >=3.9 (has 3.8.20)`.
func Describe(missing []streams.Missing) string {
	parts := make([]string, len(missing))
	for i, m := range missing {
		parts[i] = strings.TrimSpace(m.Runtime + " " + m.Want)
		if m.Label != "" {
			parts[i] = fmt.Sprintf("label %s=%s", m.Label, m.Want)
		}
		if len(m.Have) > 0 {
			parts[i] += " (has " + strings.Join(m.Have, ", ") + ")"
		}
	}
	return strings.Join(parts, ", ")
}
