package parts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/secret"
)

// credential is the name of the service's credential that holds the keys of secrets.
const credential = "attune-secrets-key"

// secretKeys says where the keys of secrets come from: new ones from the first place, older ones from any. A file
// that the operator names stands before the credential.
func secretKeys(c config.Config, dataDir string) ([]secret.Source, error) {
	var all []secret.Source
	if c.VaultAddr != "" {
		vault, err := secret.Vault(secret.VaultConfig{
			Address: c.VaultAddr, TokenFile: c.VaultTokenFile, Mount: c.VaultTransitMount, Key: c.VaultTransitKey,
			Namespace: c.VaultNamespace, CAFile: c.VaultCA,
		})
		if err != nil {
			return nil, err
		}
		all = append(all, vault)
	}
	if c.SecretKeyFile != "" {
		return append(all, secret.KeyFile(c.SecretKeyFile)), nil
	}
	if c.CredentialsDir != "" {
		file := filepath.Join(c.CredentialsDir, credential)
		_, err := os.Stat(file)
		if err == nil {
			all = append(all, secret.Credential(file))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return append(all, secret.KeyFile(filepath.Join(dataDir, "keys", "secrets.key"))), nil
}
