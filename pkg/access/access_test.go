package access_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/attune/attune/pkg/access"
)

func grants(t *testing.T, texts ...string) access.Principal {
	t.Helper()
	p := access.Principal{Name: "token:t"}
	for _, text := range texts {
		g, err := access.ParseGrant(text)
		if err != nil {
			t.Fatal(err)
		}
		p.Grants = append(p.Grants, g)
	}
	return p
}

func TestAGrantHoldsWhereItSays(t *testing.T) {
	t.Parallel()
	run := access.Right{Verb: access.Run, Kind: access.Actions}
	see := access.Right{Verb: access.View, Kind: access.Actions}
	use := access.Right{Verb: access.Use, Kind: access.Secrets}
	for name, c := range map[string]struct {
		grant string
		right access.Right
		in    access.Scope
		want  bool
	}{
		"in its pack":                          {"run actions in pack demo", run, access.InPack("demo"), true},
		"not in another pack":                  {"run actions in pack demo", run, access.InPack("demo2"), false},
		"not outside of packs":                 {"run actions in pack demo", run, access.Global, false},
		"everywhere in any pack":               {"run actions", run, access.InPack("demo"), true},
		"everywhere outside of packs":          {"use secrets", use, access.Global, true},
		"global is not in packs":               {"use secrets in global", use, access.InPack("demo"), false},
		"a pack called global is not global":   {"use secrets in pack global", use, access.Global, false},
		"doing is also seeing":                 {"run actions in pack demo", see, access.InPack("demo"), true},
		"seeing is not doing":                  {"view actions in pack demo", run, access.InPack("demo"), false},
		"of another kind":                      {"view rules", see, access.InPack("demo"), false},
		"one verb is not the other":            {"edit secrets", use, access.Global, false},
		"doing does not let see another scope": {"run actions in pack demo", see, access.InPack("other"), false},
	} {
		if got := grants(t, c.grant).May(c.right, c.in); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (access.Principal{}).MaySomewhere(see) {
		t.Error("nobody may see")
	}
}

func TestEachRoleMayAllThatTheOneBeforeMay(t *testing.T) {
	t.Parallel()
	var before []access.Right
	for _, role := range access.Roles() {
		rights := role.Rights()
		if len(rights) <= len(before) || !slices.Equal(rights[:len(before)], before) {
			t.Errorf("%s: %v after %v", role, rights, before)
		}
		before = rights
		everywhere, err := role.Grants()
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range everywhere {
			if back, err := access.ParseGrant(g.String()); err != nil || back != g {
				t.Errorf("%s: %q reads as %v, %v", role, g, back, err)
			}
		}
	}
	for _, kind := range access.Kinds() {
		if !access.Root().May(access.Right{Verb: access.View, Kind: kind}, access.Global) {
			t.Errorf("the administrator may not see %s", kind)
		}
	}
}

func TestARoleWithinPacksReachesNothingElse(t *testing.T) {
	t.Parallel()
	for _, role := range access.Roles()[:3] {
		all, err := role.Grants("a", "b")
		if err != nil {
			t.Fatal(err)
		}
		p := access.Principal{Grants: all}
		for _, kind := range access.Kinds() {
			for _, verb := range access.Verbs() {
				r := access.Right{Verb: verb, Kind: kind}
				if p.May(r, access.Global) || p.May(r, access.InPack("c")) || p.May(r, access.InPack("a")) != p.May(r, access.InPack("b")) {
					t.Errorf("%s in a and b: %s reaches %+v", role, r, p.Reach(r))
				}
			}
		}
		if got := p.Reach(access.Right{Verb: access.View, Kind: access.Actions}).Packs(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%s: packs %v", role, got)
		}
	}
	if _, err := access.Admin.Grants("a"); !errors.Is(err, access.ErrRole) {
		t.Errorf("admin within a pack: %v", err)
	}
	if _, err := access.Viewer.Grants("A.b"); !errors.Is(err, access.ErrGrant) {
		t.Errorf("no name of a pack: %v", err)
	}
	if _, err := access.Role("root").Grants(); !errors.Is(err, access.ErrRole) {
		t.Errorf("no role: %v", err)
	}
}

func TestNoReachIsNotAll(t *testing.T) {
	t.Parallel()
	none := grants(t, "use secrets in global").Reach(access.Right{Verb: access.View, Kind: access.Secrets})
	if packs := none.Packs(); packs == nil || len(packs) != 0 {
		t.Errorf("packs %v: nil means all", packs)
	}
}

func TestWhatIsNoGrantIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "run", "run actions in", "run actions in pack", "run actions in pack Demo", "run actions in pack a b", "run actions in pack a.b",
		"run  actions", "Run actions", "run secrets", "admin actions", "run actions in pack ", "view actions in everywhere", "view things",
		"view actions\n", "use secrets in pack dеmo",
	} {
		if g, err := access.ParseGrant(text); !errors.Is(err, access.ErrGrant) {
			t.Errorf("%q is %v, %v", text, g, err)
		}
	}
}

// What is read as a grant is written as it was read.
func FuzzParseGrant(f *testing.F) {
	for _, text := range []string{"run actions in pack demo", "use secrets in global", "view events", "admin tokens", "view events in pack _all"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if g, err := access.ParseGrant(text); err == nil && g.String() != text {
			t.Errorf("%q is written as %q", text, g)
		}
	})
}
