package config_test

import (
	"slices"
	"testing"

	"github.com/attune/attune/pkg/config"
)

// Actions must not read them; see docs/isolation.md.
func TestFilesWithCredentialsAreKnown(t *testing.T) {
	want := []string{"/x/users", "/x/nats.key", "/x/http.key", "/x/secrets.key", "/x/vault", "/x/credentials", "/x/headers"}
	for i, name := range []string{
		"ATTUNE_NATS_CREDS", "ATTUNE_NATS_KEY", "ATTUNE_HTTP_KEY", "ATTUNE_SECRET_KEY_FILE", "ATTUNE_VAULT_TOKEN_FILE", "CREDENTIALS_DIRECTORY",
		"ATTUNE_LOG_FORWARD_HEADERS_FILE",
	} {
		t.Setenv(name, want[i])
	}
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CredentialFiles(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := (config.Config{}).CredentialFiles(); len(got) != 0 {
		t.Errorf("nothing is named, and %v are", got)
	}
}
