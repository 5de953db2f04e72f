package config

import (
	"errors"
	"path/filepath"

	"github.com/attune/attune/pkg/sandbox"
)

// IsolationNone is the value of ISOLATION that leaves actions as they are.
const IsolationNone = "none"

func (c Config) checkIsolation() error {
	errs := []error{oneOf("ISOLATION", c.Isolation, "default", IsolationNone)}
	if _, err := sandbox.ParseRange(c.ActionUIDs); err != nil {
		errs = append(errs, wrong("ACTION_UIDS", c.ActionUIDs, err.Error()))
	}
	for name, list := range map[string]string{"ISOLATION_READ": c.IsolationRead, "ISOLATION_WRITE": c.IsolationWrite} {
		for _, path := range filepath.SplitList(list) {
			if !filepath.IsAbs(path) {
				errs = append(errs, wrong(name, path, "want absolute paths"))
			}
		}
	}
	return errors.Join(errs...)
}

// ActionUsers gives the user ids of ACTION_UIDS, which Check has found to be some.
func (c Config) ActionUsers() sandbox.Range {
	r, _ := sandbox.ParseRange(c.ActionUIDs) // likewise
	return r
}

// CredentialFiles are the files and folders with credentials that the environment names.
func (c Config) CredentialFiles() (all []string) {
	for _, file := range []string{c.NATSCreds, c.NATSKey, c.HTTPKey, c.SecretKeyFile, c.VaultTokenFile, c.CredentialsDir, c.LogForwardHeadersFile} {
		if file != "" {
			all = append(all, file)
		}
	}
	return all
}
