package authority_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/attune/attune/pkg/authority"
	"github.com/attune/attune/pkg/certtest"
)

func TestAFileThatIsNamedCountsOrIsAnError(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pool, err := authority.Pool(certtest.New(t).CA); err != nil || pool == nil {
		t.Errorf("an authority's: %v", err)
	}
	for file, want := range map[string]error{empty: authority.ErrNone, empty + "x": fs.ErrNotExist} {
		if pool, err := authority.Pool(file); !errors.Is(err, want) || pool != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestOnlyThisMachineIsLocal(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "": false, "0.0.0.0": false, "::": false,
		"localhost.example": false, "127.0.0.1.example": false, "10.0.0.1": false,
	} {
		if got := authority.Local(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
