package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/attune/attune/services/attune/local"
)

// announce makes a data folder in which an API is announced.
func announce(t *testing.T, url, token string) string {
	t.Helper()
	dir := t.TempDir()
	content, err := json.Marshal(local.Announcement{APIURL: url, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, local.FileName), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
