package account_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/account"
	"github.com/attune/attune/pkg/database/dbtest"
)

var quiet = slog.New(slog.DiscardHandler)

func viewer() account.Rights { return account.Rights{Role: access.Viewer} }

func TestATokenProvesItsPrincipalUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := account.New(dbtest.New(t))
	k := account.NewKeeper(s, quiet)
	if _, err := k.Token(ctx, "att_x"); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("what has not the form: %v", err)
	}
	_, text, err := s.CreateToken(ctx, account.NewToken{Name: "ci", Rights: account.Rights{Role: access.Operator, Packs: []string{"demo"}}, By: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Token(ctx, text) // not known yet, so the store is read
	if err != nil || c.Name != "token:ci" || !c.May(access.Right{Verb: access.Run, Kind: access.Actions}, access.InPack("demo")) {
		t.Fatalf("%+v, %v", c, err)
	}
	for name, wrong := range map[string]string{
		"the last letter": text[:len(text)-1] + other(text[len(text)-1]), "no prefix": strings.TrimPrefix(text, "att_"), "empty": "", "more": text + "a",
		"another id": "att_aaaaaaaaaaaaaaaa" + text[20:], "upper case": strings.ToUpper(text),
	} {
		if _, err := k.Token(ctx, wrong); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Session(ctx, strings.TrimPrefix(text, "att_")); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("as a session: %v", err)
	}
	if _, err := s.RevokeToken(ctx, "ci", "admin"); err != nil {
		t.Fatal(err)
	}
	if err := k.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Token(ctx, text); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("revoked: %v", err)
	}
	<-c.Gone()
}

func other(b byte) string {
	if b == 'a' {
		return "b"
	}
	return "a"
}

func TestWhatDidNotChangeStaysWhenOtherThingsDo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := account.New(dbtest.New(t))
	k := account.NewKeeper(s, quiet)
	_, text, err := s.CreateToken(ctx, account.NewToken{Name: "a", Rights: viewer(), By: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	before, err := k.Token(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.CreateToken(ctx, account.NewToken{Name: "b", Rights: viewer(), By: "admin"}); err != nil {
		t.Fatal(err)
	}
	if err := k.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	after, err := k.Token(ctx, text)
	if err != nil || after != before {
		t.Errorf("%p became %p, %v", before, after, err)
	}
	select {
	case <-before.Gone():
		t.Error("it was said to be gone")
	default:
	}
}

// That a token was used is written down to the minute, and makes nobody read everything again.
func TestUseIsWrittenDownAndChangesNothing(t *testing.T) {
	t.Parallel()
	s := account.New(dbtest.New(t))
	k := account.NewKeeper(s, quiet)
	_, text, err := s.CreateToken(t.Context(), account.NewToken{Name: "a", Rights: viewer(), By: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	was, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = k.Run(ctx) })
	if _, err := k.Token(ctx, text); err != nil {
		t.Fatal(err)
	}
	cancel()
	wg.Wait()
	all, err := s.Tokens(t.Context())
	if err != nil || len(all) != 1 || all[0].LastUsedAt == nil || all[0].LastUsedAt.Second() != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if now, err := s.Revision(t.Context()); err != nil || now != was {
		t.Errorf("revision %d became %d, %v", was, now, err)
	}
}

func TestAKeeperThatRunsSeesWhatOthersRevoke(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	db := dbtest.New(t)
	k := account.NewKeeper(account.New(db), quiet)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = k.Run(ctx) })
	others := account.New(db)
	_, text, err := others.CreateToken(ctx, account.NewToken{Name: "a", Rights: viewer(), By: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Token(ctx, text)
	for errors.Is(err, account.ErrUnknown) && ctx.Err() == nil { // within the moment in which the store is not asked again
		c, err = k.Token(ctx, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := others.RevokeToken(ctx, "a", "admin"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Gone():
	case <-time.After(time.Minute):
		t.Error("it was not said to be gone")
	}
}

func TestPasswordsProveUsers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := account.New(dbtest.New(t))
	if _, err := s.CreateUser(ctx, account.NewUser{Name: "ann", Password: "correct horse battery", Rights: viewer(), By: "admin"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateUser(ctx, account.NewUser{Name: "bob@example.org", Rights: viewer(), By: "admin"}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		user, password string
		want           error
	}{
		"right":                 {"ann", "correct horse battery", nil},
		"wrong":                 {"ann", "correct horse batterY", account.ErrRefused},
		"empty":                 {"ann", "", account.ErrRefused},
		"very long":             {"ann", strings.Repeat("x", 1<<20), account.ErrRefused},
		"nobody":                {"eve", "correct horse battery", account.ErrRefused},
		"without a password":    {"bob@example.org", "", account.ErrRefused},
		"without, but a guess":  {"bob@example.org", "correct horse battery", account.ErrRefused},
		"the one of the dummy?": {"eve", "", account.ErrRefused},
	} {
		if err := s.SignIn(ctx, c.user, c.password); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"short", "", strings.Repeat("x", 1025), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if _, err := account.HashPassword(ctx, bad); !errors.Is(err, account.ErrPassword) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestHashesSayHowTheyWereMade(t *testing.T) {
	t.Parallel()
	a, err := account.HashPassword(t.Context(), "correct horse battery")
	if err != nil || !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s, %v", a, err)
	}
	if b, err := account.HashPassword(t.Context(), "correct horse battery"); err != nil || a == b {
		t.Errorf("two salts are one: %s, %v", b, err)
	}
}

// What somebody wrote into the column must not stop the service, whatever it is.
func TestAHashThatCannotBeReadProvesNobody(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s := account.New(db)
	for _, hash := range []string{
		"$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$AAAA$AAAA", "$argon2id$v=19$m=4294967295,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=19456,t=2,p=0$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	} {
		if _, err := db.Exec(t.Context(), `INSERT INTO users (name, password, created_by) VALUES ('ann', $1, 'x') ON CONFLICT (name) DO UPDATE SET password = $1`, hash); err != nil {
			t.Fatal(err)
		}
		if err := s.SignIn(t.Context(), "ann", "correct horse battery"); err == nil {
			t.Errorf("%s: signed in", hash)
		}
	}
}

func TestOneRowThatCannotBeReadKeepsNobodyElseOut(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := dbtest.New(t)
	s := account.New(db)
	k := account.NewKeeper(s, quiet)
	var texts []string
	for _, name := range []string{"a", "b"} {
		_, text, err := s.CreateToken(ctx, account.NewToken{Name: name, Rights: viewer(), By: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if _, err := db.Exec(ctx, `UPDATE api_tokens SET grants = '{"do things"}' WHERE name = 'a'`); err != nil {
		t.Fatal(err)
	}
	view := access.Right{Verb: access.View, Kind: access.Events}
	if c, err := k.Token(ctx, texts[0]); err != nil || c.MaySomewhere(view) {
		t.Errorf("the one: %+v, %v", c, err)
	}
	if c, err := k.Token(ctx, texts[1]); err != nil || !c.MaySomewhere(view) {
		t.Errorf("the other: %+v, %v", c, err)
	}
}
