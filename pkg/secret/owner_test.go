package secret_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

const someID = "0192f0c1-0000-7000-8000-000000000009"

func TestOwnersAreWellFormed(t *testing.T) {
	t.Parallel()
	for _, o := range []secret.Owner{secret.Global, secret.OfPack("shop"), secret.OfPack("a-b_9"), secret.OfUser("eve"), secret.OfUser("eve@example.com"), secret.OfExecution(someID)} {
		if err := o.Check(); err != nil {
			t.Errorf("%s: %v", o, err)
		}
	}
	for _, o := range []secret.Owner{
		"", "pack", "global:", "Global", "team:a", secret.OfPack(""), secret.OfPack("Shop"), secret.OfPack("a:b"), secret.OfPack("a\x00"), secret.OfUser(""), secret.OfUser("a b"),
		secret.OfUser("a\n"), secret.OfUser(strings.Repeat("a", 129)), secret.OfExecution(""), secret.OfExecution("a.b"), secret.OfExecution("%"),
	} {
		if err := o.Check(); !errors.Is(err, secret.ErrBadOwner) {
			t.Errorf("%q: %v", o, err)
		}
	}
}

func TestEachOwnerHasSecretsOfItsOwn(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t), keyFile(t))
	shop, eve, run := secret.OfPack("shop"), secret.OfUser("eve"), secret.OfExecution(someID)
	for _, o := range []secret.Owner{secret.Global, shop, eve, run} {
		put(t, s, o, "TOKEN", "of "+string(o), 0)
	}
	put(t, s, secret.Global, "OTHER", "of global", 0)
	for _, tt := range []struct {
		owners []secret.Owner
		want   string
	}{
		{[]secret.Owner{shop, secret.Global}, "of pack:shop"},
		{[]secret.Owner{secret.Global, shop}, "of global"},
		{[]secret.Owner{secret.OfPack("none"), secret.Global}, "of global"},
		{[]secret.Owner{eve}, "of user:eve"},
		{[]secret.Owner{run}, "of execution:" + someID},
	} {
		got, err := s.Values(t.Context(), tt.owners, []string{"TOKEN"})
		if err != nil || len(got) != 1 || string(got["TOKEN"]) != tt.want {
			t.Errorf("%v: %q, %v", tt.owners, got, err)
		}
	}
	got, err := s.Values(t.Context(), []secret.Owner{shop, secret.Global}, []string{"TOKEN", "OTHER"})
	if err != nil || string(got["TOKEN"]) != "of pack:shop" || string(got["OTHER"]) != "of global" {
		t.Errorf("of the pack and global: %q, %v", got, err)
	}
	for _, o := range []secret.Owner{secret.OfPack("other"), secret.OfUser("shop"), secret.OfUser("mallory"), "", "pack:%"} {
		if got, err := s.Values(t.Context(), []secret.Owner{o}, []string{"TOKEN"}); !errors.Is(err, secret.ErrNotFound) || len(got) > 0 {
			t.Errorf("%q: %q, %v", o, got, err)
		}
	}
}

func TestTheSecretsOfExecutionsAreNotListed(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := open(t, pool, keyFile(t))
	run := secret.OfExecution(someID)
	for _, name := range []string{"auth/password", "a b.c[0]", "é", strings.Repeat("x", 512)} {
		put(t, s, run, name, canary, 0)
	}
	put(t, s, secret.OfPack("shop"), "TOKEN", canary, 0)
	for _, owner := range []secret.Owner{"", run} {
		infos, err := s.List(t.Context(), owner)
		if err != nil || slices.ContainsFunc(infos, func(i secret.Info) bool { return i.Owner == run }) {
			t.Errorf("list of %q: %+v, %v", owner, infos, err)
		}
	}
	versions, err := secret.Versions(t.Context(), pool)
	if err != nil || len(versions) != 1 || versions[secret.Ref{Owner: "pack:shop", Name: "TOKEN"}] == "" {
		t.Errorf("versions %v, %v", versions, err)
	}
	for _, name := range []string{"", "a\x00", "a\nb", "\xff", strings.Repeat("x", 513)} {
		if _, err := s.Put(t.Context(), run, name, []byte(canary), 0); !errors.Is(err, secret.ErrBadName) {
			t.Errorf("name %.10q: %v", name, err)
		}
	}
	if err := s.DeleteOwner(t.Context(), run); err != nil {
		t.Error(err)
	}
	if v, err := s.Get(t.Context(), run, "é"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("after its owner was deleted: %q, %v", v, err)
	}
}
