package secret_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

func TestTheLastVersionsAreKeptAndCanBeRestored(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t), keyFile(t))
	const all = secret.KeptVersions + 3
	for v := 1; v <= all; v++ {
		put(t, s, secret.OfPack("shop"), "A", fmt.Sprintf("value %d", v), 0)
	}
	put(t, s, secret.Global, "A", "another", 0)
	versions, err := s.VersionsOf(t.Context(), secret.OfPack("shop"), "A")
	if err != nil || len(versions) != secret.KeptVersions || versions[0].Version != all || !versions[0].Current || versions[1].Current {
		t.Fatalf("versions %+v, %v", versions, err)
	}
	for _, v := range versions {
		if got, err := s.GetVersion(t.Context(), secret.OfPack("shop"), "A", v.Version); err != nil || string(got) != fmt.Sprintf("value %d", v.Version) {
			t.Errorf("version %d is %q, %v", v.Version, got, err)
		}
	}
	for _, v := range []int64{0, -1, all - secret.KeptVersions, all + 1} {
		if _, err := s.Restore(t.Context(), secret.OfPack("shop"), "A", v, 0); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("restore %d: %v", v, err)
		}
	}
	i, err := s.Restore(t.Context(), secret.OfPack("shop"), "A", all-2, time.Hour)
	if err != nil || i.Version != all+1 || i.ExpiresAt == nil {
		t.Errorf("restored %+v, %v", i, err)
	}
	if v, err := s.Get(t.Context(), secret.OfPack("shop"), "A"); err != nil || string(v) != fmt.Sprintf("value %d", all-2) {
		t.Errorf("it is %q, %v", v, err)
	}
	if _, err := s.VersionsOf(t.Context(), secret.OfUser("shop"), "A"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("versions of what there is not: %v", err)
	}
}

func TestASecretWhoseEndHasComeIsNotGiven(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := open(t, pool, keyFile(t))
	put(t, s, secret.Global, "A", "of all", 0)
	put(t, s, secret.OfPack("shop"), "A", canary, 20*time.Millisecond)
	owners := []secret.Owner{secret.OfPack("shop"), secret.Global}
	eventually(t, "it is given no more", func() bool {
		v, err := s.Values(t.Context(), owners, []string{"A"})
		if err != nil {
			t.Fatal(err)
		}
		return string(v["A"]) == "of all"
	})
	_, err := s.Get(t.Context(), secret.OfPack("shop"), "A")
	_, byNumber := s.GetVersion(t.Context(), secret.OfPack("shop"), "A", 1)
	_, restored := s.Restore(t.Context(), secret.OfPack("shop"), "A", 1, 0)
	for _, err := range []error{err, byNumber, restored} {
		if !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("an expired secret: %v", err)
		}
	}
	infos, err := s.List(t.Context(), secret.OfPack("shop"))
	if err != nil || len(infos) != 1 || !infos[0].Expired {
		t.Errorf("list %+v, %v", infos, err)
	}
	if versions, err := secret.Versions(t.Context(), pool); err != nil || len(versions) != 1 {
		t.Errorf("versions %v, %v", versions, err)
	}
	put(t, s, secret.OfPack("shop"), "A", "new", time.Hour)
	if v, err := s.Get(t.Context(), secret.OfPack("shop"), "A"); err != nil || string(v) != "new" {
		t.Errorf("set again it is %q, %v", v, err)
	}
	for _, ttl := range []time.Duration{-1, 1, secret.MaxTTL + 1} {
		if _, err := s.Put(t.Context(), secret.Global, "A", []byte("x"), ttl); !errors.Is(err, secret.ErrBadTTL) {
			t.Errorf("life of %s: %v", ttl, err)
		}
	}
}

func TestWhatHasComeToItsEndIsRemoved(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	s := open(t, pool, file)
	id := func(n int) string { return fmt.Sprintf("0192f0c1-0000-7000-8000-%012d", n) }
	for name, days := range map[string]int{"GONE": -2, "SHOWN": 0, "KEPT": 2} {
		put(t, s, secret.Global, name, "x", time.Hour)
		execute(t, pool, fmt.Sprintf("UPDATE secret_versions SET created_at = now() - interval '9 days', expires_at = now() + interval '%d days' - interval '1 minute' WHERE name = '%s'", days, name))
	}
	put(t, s, secret.Global, "OLDER", "x", time.Hour)
	put(t, s, secret.Global, "OLDER", "x", 0)
	execute(t, pool, "UPDATE secret_versions SET created_at = now() - interval '9 days', expires_at = now() - interval '1 minute' WHERE name = 'OLDER' AND version = 1")
	for n, e := range map[int]struct{ age, execution string }{
		1: {"2 days", "'succeeded', now() - interval '2 days', now() - interval '25 hours'"},
		2: {"2 days", "'succeeded', now() - interval '2 days', now() - interval '23 hours'"},
		3: {"31 days", "'requested', NULL, NULL"},
		4: {"31 days", ""},
		5: {"29 days", ""},
		6: {"1 hour", "'succeeded', now() - interval '2 days', now() - interval '25 hours'"}, // whose clock differs from that of the database
	} {
		put(t, s, secret.OfExecution(id(n)), "a/b", "x", 0)
		if e.execution != "" {
			execute(t, pool, `INSERT INTO executions (id, action, pack_digest, attempt, changed_at, requested_at, stream_epoch, fact_seqs, status, started_at, ended_at)
				VALUES ('`+id(n)+`', 'a.b', 'x', 1, now(), now(), 1, '{}', `+e.execution+`)`)
		}
		execute(t, pool, "UPDATE secrets SET created_at = now() - interval '"+e.age+"' WHERE owner = 'execution:"+id(n)+"'")
	}
	put(t, s, secret.OfExecution("no-uuid"), "a/b", "x", 0)
	execute(t, pool, "UPDATE secrets SET created_at = now() - interval '31 days' WHERE owner = 'execution:no-uuid'")
	start(t, pool, secret.KeyFile(file))
	want := strings.Join([]string{"execution:" + id(2) + " a/b 1", "execution:" + id(3) + " a/b 1", "execution:" + id(5) + " a/b 1", "execution:" + id(6) + " a/b 1", "global KEPT 1", "global OLDER 2", "global SHOWN 1"}, "\n")
	var got string
	eventually(t, "only what is wanted is left", func() bool { got = left(t, pool); return got == want || len(got) < len(want) })
	if got != want {
		t.Errorf("left are\n%s\nwant\n%s", got, want)
	}
}

// left gives the versions that there are.
func left(t testing.TB, pool *pgxpool.Pool) (all string) {
	t.Helper()
	err := pool.QueryRow(t.Context(), "SELECT coalesce(string_agg(concat_ws(' ', owner, name, version), E'\n' ORDER BY owner, name, version), '') FROM secret_versions").Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A secret of before owners and ends was bound to the key-encryption key as a whole.
func TestASecretOfTheFirstFormIsGlobalAndGoesOverToANewKey(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	writeKey(t, file, []byte("attune-key-1:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"))
	s := start(t, pool, secret.KeyFile(file))
	id := keys(t, s).Keys[0].ID
	sealed, wrapped := secret.SealFirstForm(t, bytes.Repeat([]byte{7}, 32), id, "OLD", 3, canary)
	execute(t, pool, "INSERT INTO secrets (owner, name, version) VALUES ('global', 'OLD', 3)")
	if _, err := pool.Exec(t.Context(), `INSERT INTO secret_versions (owner, name, version, form, key_id, wrapped_key, sealed) VALUES ('global', 'OLD', 3, 1, $1, $2, $3)`, id, wrapped, sealed); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "OLD"); got != canary {
		t.Errorf("OLD is %q", got)
	}
	for _, change := range []string{"expires_at = now() + interval '1 hour'", "form = 2"} {
		execute(t, pool, "UPDATE secret_versions SET "+change)
		if v, err := s.Get(t.Context(), secret.Global, "OLD"); !errors.Is(err, secret.ErrSealed) {
			t.Errorf("after %s: %q, %v", change, v, err)
		}
		execute(t, pool, "UPDATE secret_versions SET expires_at = NULL, form = 1")
	}
	rekey(t, s, "")
	awaitStates(t, s, "current 1, retired 0")
	if got := get(t, s, "OLD"); got != canary {
		t.Errorf("under a new key OLD is %q", got)
	}
}
