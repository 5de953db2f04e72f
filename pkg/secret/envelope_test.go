package secret_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

// put sets the value of an owner's secret.
func put(t testing.TB, s *secret.Store, owner secret.Owner, name, value string, ttl time.Duration) secret.Info {
	t.Helper()
	i, err := s.Put(t.Context(), owner, name, []byte(value), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// foreign is a key that the store does not have.
const foreign = "0123456789abcdef"

// Of every two rows, whatever is copied from one over the other, the other gives its own value or none.
func TestARowDoesNotOpenInAnothersPlace(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := open(t, pool, keyFile(t))
	const own = "the value of B"
	for name, of := range map[string]struct {
		owner secret.Owner
		name  string
		ttl   time.Duration
	}{
		"another name":            {secret.Global, "A", 0},
		"another owner":           {secret.OfPack("shop"), "B", 0},
		"another kind of owner":   {secret.OfUser("global"), "B", 0},
		"of an execution":         {secret.OfExecution("0192f0c1-0000-7000-8000-000000000009"), "B", 0},
		"another end":             {secret.Global, "A", time.Hour},
		"another version":         {secret.Global, "B", 0},
		"another version and end": {secret.Global, "B", time.Hour},
	} {
		execute(t, pool, "DELETE FROM secrets")
		put(t, s, of.owner, of.name, canary, of.ttl) // before B, so that it is an older version of it where it is the same
		b := put(t, s, secret.Global, "B", own, 0)
		r := rows{pool: pool, source: fmt.Sprintf("owner = '%s' AND name = '%s' AND version = 1", of.owner, of.name), version: b.Version}
		r.keep(t)
		columns := []string{"wrapped_key", "sealed", "key_id", "form", "expires_at"}
		if b.Version == 1 { // else the copy of all is the older version itself
			columns = append(columns, "version")
		}
		for _, some := range subsets(columns...) {
			r.copyOver(t, some)
			v, err := s.Get(t.Context(), secret.Global, "B")
			moved := strings.Contains(some, "wrapped_key") || strings.Contains(some, "sealed")
			if moved && (v != nil || !errors.Is(err, secret.ErrSealed)) || v != nil && string(v) != own {
				t.Errorf("%s: after a copy of %s, B is %q, %v", name, some, v, err)
			}
			if strings.Contains(fmt.Sprint(err), canary) {
				t.Errorf("%s: error shows the value: %v", name, err)
			}
			r.restore(t)
		}
		if got := get(t, s, "B"); got != own {
			t.Errorf("%s: at last B is %q", name, got)
		}
	}
}

// rows are those of B, in that version, and of a source.
type rows struct {
	pool    *pgxpool.Pool
	source  string
	version int64
}

// keep remembers B and the source.
func (r rows) keep(t testing.TB) {
	t.Helper()
	execute(t, r.pool, "DROP TABLE IF EXISTS kept, source; CREATE TABLE source AS SELECT * FROM secret_versions WHERE "+r.source+
		fmt.Sprintf("; CREATE TABLE kept AS SELECT * FROM secret_versions WHERE owner = 'global' AND name = 'B' AND version = %d", r.version))
}

// copyOver copies columns of the source over those of B.
func (r rows) copyOver(t testing.TB, columns string) {
	t.Helper()
	execute(t, r.pool, fmt.Sprintf(`UPDATE secret_versions SET (%s) = (SELECT %s FROM source) WHERE owner = 'global' AND name = 'B' AND version = %d`, columns, columns, r.version))
	execute(t, r.pool, "UPDATE secrets SET version = (SELECT version FROM source) WHERE owner = 'global' AND name = 'B' AND '"+columns+"' LIKE '%version%'")
}

// restore undoes copyOver.
func (r rows) restore(t testing.TB) {
	t.Helper()
	all := "version, wrapped_key, sealed, key_id, form, expires_at"
	execute(t, r.pool, "UPDATE secret_versions SET ("+all+") = (SELECT "+all+" FROM kept) WHERE owner = 'global' AND name = 'B' AND version = (SELECT version FROM secrets WHERE owner = 'global' AND name = 'B')")
	execute(t, r.pool, "UPDATE secrets SET version = (SELECT version FROM kept) WHERE owner = 'global' AND name = 'B'")
}

// subsets gives every choice of some of the texts, divided by commas.
func subsets(all ...string) (some []string) {
	for bits := 1; bits < 1<<len(all); bits++ {
		var one []string
		for i, text := range all {
			if bits&(1<<i) != 0 {
				one = append(one, text)
			}
		}
		some = append(some, strings.Join(one, ", "))
	}
	return some
}

func TestARowThatWasChangedDoesNotOpen(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := open(t, pool, keyFile(t))
	execute(t, pool, "INSERT INTO secret_keys (id, proof, state) VALUES ('"+foreign+"', '', 'old')")
	for name, change := range map[string]string{
		"a bit of the value":     "sealed = set_bit(sealed, 300, 1 - get_bit(sealed, 300))",
		"a bit of the data key":  "wrapped_key = set_bit(wrapped_key, 300, 1 - get_bit(wrapped_key, 300))",
		"cut, but long enough":   "sealed = substring(sealed from 1 for 41)",
		"of a key that is other": "key_id = '" + foreign + "'",
		"of the first form":      "form = 1",
		"a longer life":          "expires_at = expires_at + interval '1 microsecond'",
		"a life without end":     "expires_at = NULL",
	} {
		put(t, s, secret.Global, "B", canary, time.Hour)
		execute(t, pool, "UPDATE secret_versions SET "+change)
		v, err := s.Get(t.Context(), secret.Global, "B")
		want := secret.ErrSealed
		if strings.Contains(change, "key_id") {
			want = secret.ErrKeyWrong
		}
		if !errors.Is(err, want) || v != nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: B is %q, %v", name, v, err)
		}
		execute(t, pool, "DELETE FROM secrets")
	}
}
