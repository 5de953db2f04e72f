package config

import (
	"os"
	"path/filepath"
)

// NATSCredsOf is the file that a user of the bus (see streams.Users) connects with: its own where NATS_CREDS is a
// folder, else the one that all share.
func (c Config) NATSCredsOf(user string) string {
	if info, err := os.Stat(c.NATSCreds); err == nil && info.IsDir() {
		return filepath.Join(c.NATSCreds, user+".creds")
	}
	return c.NATSCreds
}
