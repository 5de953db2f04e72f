package faulttest

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/secret"
)

// many is more secrets than are sealed anew in one transaction.
const many = 120

// A change of the key goes on by itself when the process that was at it is gone, and every secret is readable.
func TestSecretsGoOverToANewKeyWhereverTheAPIIsKilled(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	c := start(t, size{schedulers: 1, runners: 1, database: database})
	for i := range many {
		if _, err := c.client.SetSecret(t.Context(), fmt.Sprintf("S%d", i), fmt.Sprintf("value %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for n, plan := range []struct {
		place failpoint.Name
		when  string
	}{{failpoint.SecretsActivating, "kill@1"}, {failpoint.SecretsRenewing, "kill@1"}, {failpoint.SecretsRenewing, "kill@3"}, {failpoint.SecretsRenewed, "kill@1"}} {
		c.api.stop(t)
		before := c.fired(plan.place)
		c.api.start(t, string(plan.place)+"="+plan.when)
		c.awaitReady()
		c.api.keep(t, func() string { return "" })
		forget(t, database)
		_, err := c.client.ChangeSecretKey(t.Context(), "")
		t.Logf("%s: the request: %v", plan.place, err) // it may have been answered before
		eventually(t, patience, "all secrets are sealed with the new key", func() bool { return c.sealedAnew(n + 1) })
		if fired := c.fired(plan.place) - before; fired != 1 {
			t.Errorf("%s fired %d times", plan.place, fired)
		}
		c.readSecrets(database)
	}
}

// forget takes the processes that were killed off the list of those that a new key waits for, which else takes a minute.
func forget(t *testing.T, database string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "DELETE FROM secret_holders"); err != nil {
		t.Fatal(err)
	}
}

// sealedAnew tells whether a key is the current one after so many others, and seals everything.
func (c *cluster) sealedAnew(others int) bool {
	k, err := c.client.SecretKeys(c.t.Context())
	if err != nil || len(k.Keys) != others+1 || k.Left > 0 {
		return false
	}
	for i, one := range k.Keys {
		if i > 0 && one.State != "retired" {
			return false
		}
	}
	return k.Keys[0].Wraps == many
}

// readSecrets opens the store as another copy of the API would, and reads all.
func (c *cluster) readSecrets(database string) {
	c.t.Helper()
	pool, err := pgxpool.New(c.t.Context(), database)
	if err != nil {
		c.t.Fatal(err)
	}
	defer pool.Close()
	s, err := secret.Open(c.t.Context(), pool, filepath.Join(c.dir, "api", "keys", "secrets.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range many {
		if v, err := s.Get(c.t.Context(), secret.Global, fmt.Sprintf("S%d", i)); err != nil || string(v) != fmt.Sprintf("value %d", i) {
			c.t.Errorf("S%d is %q, %v", i, v, err)
		}
	}
	ended, end := context.WithCancel(context.Background())
	end()
	_ = s.Run(ended) // which has it leave: nobody waits for it to have a key
}
