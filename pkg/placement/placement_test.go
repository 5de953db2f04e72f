package placement_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

func action(runtime string, labels map[string]string) pack.Action {
	return pack.Action{Name: "a", Runtime: runtime, RunsOn: pack.RunsOn{Labels: labels}}
}

func TestTheTokenOfNoDemandsIsThePool(t *testing.T) {
	t.Parallel()
	for _, runtime := range []string{"shell", "native"} {
		if got := placement.Token(placement.Of(nil, action(runtime, nil))); got != pack.DefaultPool {
			t.Errorf("%s: %s", runtime, got)
		}
	}
	other := action("shell", nil)
	other.Pool = "windows"
	if got := placement.Token(placement.Of(map[string]string{"python": ">=3"}, other)); got != "windows" {
		t.Error(got)
	}
}

func TestDemandsHaveTokensOfTheirOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, p := range map[string]streams.Placement{
		"python":        placement.Of(nil, action("python", nil)),
		"python 3.9":    placement.Of(map[string]string{"python": ">=3.9"}, action("python", nil)),
		"bash 5":        placement.Of(map[string]string{"shell": ">=5"}, action("shell", nil)),
		"shell in eu":   placement.Of(nil, action("shell", map[string]string{"zone": "eu"})),
		"shell with it": placement.Of(nil, action("shell", map[string]string{"zone": ""})),
	} {
		token := placement.Token(p)
		if again := placement.Token(p); again != token {
			t.Errorf("%s: %s, then %s", name, token, again)
		}
		if _, err := streams.PoolSubject(token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if other, ok := seen[token]; ok || placement.Pool(token) != pack.DefaultPool {
			t.Errorf("%s: token %s, as of %s", name, token, other)
		}
		seen[token] = name
	}
}

func TestWhatARunnerIsMissing(t *testing.T) {
	t.Parallel()
	r := streams.RunnerInfo{
		Runtimes: []streams.Runtime{{Name: "python", Version: "3.8.20"}, {Name: "python", Version: "3.11.2"}, {Name: "shell", Version: "5.2.15"}},
		Labels:   streams.Labels{"zone": "us"},
	}
	for name, tt := range map[string]struct {
		p    streams.Placement
		want string
	}{
		"nothing":       {placement.Of(nil, action("shell", nil)), ""},
		"one that fits": {placement.Of(map[string]string{"python": ">=3.9, <3.12"}, action("python", nil)), ""},
		"none that fit": {placement.Of(map[string]string{"python": ">=3.12"}, action("python", nil)), "python >=3.12 (has 3.8.20, 3.11.2)"},
		"none at all":   {placement.Of(nil, action("node", nil)), "node"},
		"another label": {placement.Of(nil, action("shell", map[string]string{"zone": "eu", "gpu": ""})), "label gpu=, label zone=eu (has us)"},
	} {
		got := placement.Describe(placement.Missing(tt.p, r))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPlacementsOfAPack(t *testing.T) {
	t.Parallel()
	p := pack.Pack{Runtime: map[string]string{"python": ">=3.9"}, Actions: []pack.Action{action("python", nil), action("python", nil), action("shell", nil)}}
	got := placement.OfPack(p)
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	for token, of := range got {
		if token != placement.Token(of) || of.Runtimes["python"] != ">=3.9" {
			t.Errorf("%s: %+v", token, of)
		}
	}
}
