package secret_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/secret"
)

func TestAStoreGoesOverFromAFileToACredential(t *testing.T) {
	t.Parallel()
	pool, file, credential := dbtest.New(t), keyFile(t), filepath.Join(t.TempDir(), "attune-secrets-key")
	all := fill(t, open(t, pool, file), 4)
	execute(t, pool, "DELETE FROM secret_holders") // the one before has stopped
	if err := secret.MakeKey(credential); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(credential, 0o440); err != nil { // as an access list of systemd looks
		t.Fatal(err)
	}
	s := start(t, pool, secret.Credential(credential), secret.KeyFile(file))
	rekey(t, s, "")
	awaitStates(t, s, "current 6, retired 0")
	readable(t, s, all)
	if err := s.Rekey(t.Context(), ""); !errors.Is(err, secret.ErrNoNewKey) {
		t.Errorf("no key is made in a credential: %v", err)
	}
	if _, err := secret.OpenWith(t.Context(), secret.Config{DB: pool, Sources: []secret.Source{secret.KeyFile(file)}}); !errors.Is(err, secret.ErrKeyWrong) {
		t.Errorf("open with the old file: %v", err)
	}
	for _, mode := range []os.FileMode{0o444, 0o460, 0o404} {
		if err := os.Chmod(credential, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.OpenWith(t.Context(), secret.Config{DB: pool, Sources: []secret.Source{secret.Credential(credential)}}); !errors.Is(err, secret.ErrKeyFile) {
			t.Errorf("open with a credential of mode %o: %v", mode, err)
		}
	}
}

func TestAFirstStartWithAnEmptyCredentialMakesNoKeyElsewhere(t *testing.T) {
	t.Parallel()
	pool, file, credential := dbtest.New(t), keyFile(t), filepath.Join(t.TempDir(), "attune-secrets-key")
	writeKey(t, credential, []byte("\n# nothing\n"))
	sources := []secret.Source{secret.Credential(credential), secret.KeyFile(file)}
	if _, err := secret.OpenWith(t.Context(), secret.Config{DB: pool, Sources: sources}); !errors.Is(err, secret.ErrKeyFile) {
		t.Errorf("open: %v", err)
	}
	if err := os.Remove(credential); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.OpenWith(t.Context(), secret.Config{DB: pool, Sources: sources}); !errors.Is(err, secret.ErrNoNewKey) {
		t.Errorf("open without it: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key file was made: %v", err)
	}
}
