package secret_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(victimOf); address != "" {
		beVictim(address)
	}
	goleak.VerifyTestMain(m)
}

const canary = "s3cr3t-c4nary-value"

func keyFile(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "keys", "secrets.key")
}

func open(t testing.TB, pool *pgxpool.Pool, file string) *secret.Store {
	t.Helper()
	s, err := secret.Open(t.Context(), pool, file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func set(t testing.TB, s *secret.Store, name, value string) {
	t.Helper()
	if _, err := s.Put(t.Context(), secret.Global, name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s *secret.Store, name string) string {
	t.Helper()
	v, err := s.Get(t.Context(), secret.Global, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(v)
}

func TestSecretsAreKeptOverRestarts(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	s := open(t, pool, file)
	set(t, s, "TOKEN", canary)
	set(t, s, "OTHER", "x")
	set(t, s, "TOKEN", canary+"-2")
	s = open(t, pool, file)
	if got := get(t, s, "TOKEN"); got != canary+"-2" {
		t.Errorf("TOKEN is %q", got)
	}
	infos, err := s.List(t.Context(), "")
	if err != nil || len(infos) != 2 || infos[0].Name != "OTHER" || infos[1].Version != 2 {
		t.Errorf("list %+v, %v", infos, err)
	}
	if err := s.Delete(t.Context(), secret.Global, "TOKEN"); err != nil {
		t.Error(err)
	}
	for _, err := range []error{s.Delete(t.Context(), secret.Global, "TOKEN"), second(s.Get(t.Context(), secret.Global, "TOKEN")), second(s.Values(t.Context(), []secret.Owner{secret.Global}, []string{"OTHER", "TOKEN"}))} {
		if !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("a deleted secret: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTheDatabaseHoldsNoValueInClear(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	set(t, open(t, pool, keyFile(t)), "TOKEN", canary)
	var row string
	if err := pool.QueryRow(t.Context(), "SELECT s::text || v::text || encode(v.sealed, 'escape') FROM secrets s, secret_versions v").Scan(&row); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(row, canary) || strings.Contains(row, fmt.Sprintf("%x", canary)) {
		t.Errorf("row holds the value: %s", row)
	}
}

func TestTheKeyFileIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	open(t, pool, file)
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o400 {
		t.Fatalf("key file: %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(file, 0o440); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Open(t.Context(), pool, file); !errors.Is(err, secret.ErrKeyFile) {
		t.Errorf("open with a key that others may read: %v", err)
	}
}

func TestWithoutTheRightKeyTheStoreDoesNotOpen(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	open(t, pool, file) // even when there is no secret yet
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := keyFile(t)
	open(t, dbtest.New(t), other)
	foreign, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		content []byte
		want    error
	}{
		"missing":   {nil, secret.ErrKeyMissing},
		"another":   {foreign, secret.ErrKeyWrong},
		"empty":     {[]byte{}, secret.ErrKeyFile},
		"truncated": {good[:len(good)/2], secret.ErrKeyFile},
		"nonsense":  {[]byte("not a key"), secret.ErrKeyFile},
		"zeros":     {bytes.Repeat([]byte{0}, 32), secret.ErrKeyFile},
	}
	for name, tt := range tests {
		at := keyFile(t)
		if tt.content != nil {
			writeKey(t, at, tt.content)
		}
		if _, err := secret.Open(t.Context(), pool, at); !errors.Is(err, tt.want) {
			t.Errorf("%s key: %v, want %v", name, err, tt.want)
		}
		if _, err := os.Stat(at); tt.content == nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s key: a file was made", name)
		}
	}
	writeKey(t, keyFile(t), good)
	open(t, pool, file)
}

func writeKey(t testing.TB, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o400); err != nil {
		t.Fatal(err)
	}
}

func TestTwoFirstStartsAtOnceAgreeOnOneKey(t *testing.T) {
	t.Parallel()
	pool, file := dbtest.New(t), keyFile(t)
	done := make(chan error)
	for range 4 {
		go func() { _, err := secret.Open(context.Background(), pool, file); done <- err }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A start that died after it had written the file and before it recorded the key leaves no trouble.
func TestAFirstStartMayBeRepeated(t *testing.T) {
	t.Parallel()
	file := keyFile(t)
	open(t, dbtest.New(t), file)
	pool := dbtest.New(t)
	set(t, open(t, pool, file), "A", canary)
	if got := get(t, open(t, pool, file), "A"); got != canary {
		t.Errorf("A is %q", got)
	}
}

// execute runs several statements.
func execute(t testing.TB, pool *pgxpool.Pool, statements string) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Conn().PgConn().Exec(t.Context(), statements).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatMayNotBeSet(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t), keyFile(t))
	for _, name := range []string{"", "1A", "A B", "A.B", "Ä", "A\x00", strings.Repeat("A", 129), "$(id)", "-A"} {
		if _, err := s.Put(t.Context(), secret.Global, name, []byte(canary), 0); !errors.Is(err, secret.ErrBadName) || strings.Contains(err.Error(), canary) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, value := range []string{"", "\xff", strings.Repeat("x", secret.MaxValue+1)} {
		if _, err := s.Put(t.Context(), secret.Global, "A", []byte(value), 0); !errors.Is(err, secret.ErrBadValue) || len(err.Error()) > 200 {
			t.Errorf("value of %d bytes: %v", len(value), err)
		}
	}
	for _, value := range []string{"x", "line\nline\n", "a\x00b", "é\u2028", strings.Repeat("x", secret.MaxValue)} {
		set(t, s, "A", value)
		if got := get(t, s, "A"); got != value {
			t.Errorf("value of %d bytes came back as %d", len(value), len(got))
		}
	}
}

func TestManyMaySetOneSecretAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t), keyFile(t))
	done := make(chan error)
	for i := range 8 {
		go func() {
			_, err := s.Put(context.Background(), secret.Global, "A", fmt.Appendf(nil, "value %d", i), 0)
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	infos, err := s.List(t.Context(), "")
	if err != nil || len(infos) != 1 || infos[0].Version != 8 {
		t.Errorf("list %+v, %v", infos, err)
	}
	if got := get(t, s, "A"); !strings.HasPrefix(got, "value ") {
		t.Errorf("A is %q", got)
	}
}
