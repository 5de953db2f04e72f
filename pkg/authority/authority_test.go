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
