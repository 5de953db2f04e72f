package credential_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/credential"
)

func TestOnlyFilesThatAreKeptFromOthersAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		mode   fs.FileMode
		others fs.FileMode
		ok     bool
	}{
		{0o400, credential.Own, true},
		{0o600, credential.Own, true},
		{0o440, credential.Own, false},
		{0o440, credential.Handed, true},
		{0o460, credential.Handed, false},
		{0o444, credential.Handed, false},
	} {
		file := filepath.Join(dir, c.mode.String()+c.others.String())
		if err := errors.Join(os.WriteFile(file, []byte("hidden"), 0o600), os.Chmod(file, c.mode)); err != nil {
			t.Fatal(err)
		}
		content, err := credential.Read(file, c.others)
		switch {
		case c.ok && (err != nil || string(content) != "hidden"):
			t.Errorf("%v: %q, %v", c.mode, content, err)
		case !c.ok && (!errors.Is(err, credential.ErrFile) || strings.Contains(err.Error(), "hidden")):
			t.Errorf("%v: %v", c.mode, err)
		}
	}
}

func TestWhatIsNoFileOfCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, credential.MaxBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, large} {
		if _, err := credential.Read(path, 0); !errors.Is(err, credential.ErrFile) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := credential.Read(filepath.Join(dir, "none"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
