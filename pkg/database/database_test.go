package database_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/database"
	"github.com/attune/attune/pkg/database/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() database.Options {
	return database.Options{Name: "test", Logger: slog.New(slog.DiscardHandler)}
}

func TestMigrationsAreAppliedOnceByManyAtOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	files := fstest.MapFS{
		"9001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id int);\n")},
		"9002_b.sql": {Data: []byte("-- +goose Up\nCREATE TABLE b (id int);\n")},
	}
	g, ctx := errgroup.WithContext(context.Background())
	for range 3 {
		g.Go(func() error { return database.MigrateFrom(ctx, pool, files) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(context.Background(), "INSERT INTO a SELECT id FROM b"); err != nil {
		t.Fatal(err)
	}
}

func TestASchemaFromANewerProgramIsRefused(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), dbtest.New(t)
	newer := fstest.MapFS{"9009_new.sql": {Data: []byte("-- +goose Up\nCREATE TABLE later (id int);\n")}}
	if err := database.MigrateFrom(ctx, pool, newer); err != nil {
		t.Fatal(err)
	}
	older := fstest.MapFS{"9001_old.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}
	if err := database.MigrateFrom(ctx, pool, older); !errors.Is(err, database.ErrNewerSchema) {
		t.Fatalf("got %v, want %v", err, database.ErrNewerSchema)
	}
}

func TestAFailedMigrationLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), dbtest.New(t)
	bad := fstest.MapFS{"9001_bad.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half (id int);\nSELECT nonsense;\n")}}
	if err := database.MigrateFrom(ctx, pool, bad); err == nil || !strings.Contains(err.Error(), "9001") {
		t.Fatalf("got %v, want an error that names the migration", err)
	}
	var exists bool
	if err := pool.QueryRow(ctx, "SELECT to_regclass('half') IS NOT NULL").Scan(&exists); err != nil || exists {
		t.Fatalf("table of the failed migration exists: %v, %v", exists, err)
	}
}

func TestABadAddressIsRefusedAtOnceWithoutShowingItsPassword(t *testing.T) {
	t.Parallel()
	_, err := database.Open(context.Background(), "postgres://u:geheim@host:port/db", quiet())
	if !errors.Is(err, database.ErrBadURL) || strings.Contains(err.Error(), "geheim") {
		t.Fatalf("got %v", err)
	}
}

func TestAMissingDatabaseIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	url := strings.Replace(dbtest.URL(t), "/test_", "/none_", 1)
	if _, err := database.Open(context.Background(), url, quiet()); !errors.Is(err, database.ErrRefused) {
		t.Fatalf("got %v, want %v", err, database.ErrRefused)
	}
}

func TestOpenWaitsForAServerThatIsAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "postgres://u@" + l.Addr().String() + "/db"
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := database.Open(ctx, url, quiet()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want it to go on until its time is over", err)
	}
}

func TestALinkCutsAndRestoresADatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool, link := dbtest.NewLinked(t)
	if err := pool.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	link.Cut()
	if err := pool.Ping(ctx); err == nil {
		t.Fatal("ping goes through a cut link")
	}
	link.Restore()
	if err := pool.Ping(ctx); err != nil {
		t.Fatal(err)
	}
}
