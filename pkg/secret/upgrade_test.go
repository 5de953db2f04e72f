package secret_test

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/attune/attune/migrations"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

func TestSecretsOfBeforeOwnersBecomeGlobal(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	writeKey(t, file, []byte("attune-key-1:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"))
	s := open(t, pool, file)
	id := keys(t, s).Keys[0].ID
	var proof []byte
	if err := pool.QueryRow(t.Context(), "SELECT proof FROM secret_keys").Scan(&proof); err != nil {
		t.Fatal(err)
	}
	execute(t, pool, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	steps, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := steps.UpTo(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	sealed, wrapped := secret.SealFirstForm(t, bytes.Repeat([]byte{7}, 32), id, "OLD", 3, canary)
	if _, err := pool.Exec(t.Context(), "INSERT INTO secret_keys (id, proof) VALUES ($1, $2)", id, proof); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "INSERT INTO secrets (name, version, key_id, wrapped_key, sealed) VALUES ('OLD', 3, $1, $2, $3)", id, wrapped, sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := steps.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = open(t, pool, file)
	if got := get(t, s, "OLD"); got != canary {
		t.Errorf("OLD is %q", got)
	}
	set(t, s, "OLD", "new")
	if versions, err := s.VersionsOf(t.Context(), secret.Global, "OLD"); err != nil || len(versions) != 2 || versions[0].Version != 4 {
		t.Errorf("versions %+v, %v", versions, err)
	}
	if got := states(keys(t, s)); got != "current 2" {
		t.Errorf("keys: %s", got)
	}
}
