package postgres

import (
	"fmt"
	"os"
	"path/filepath"
)

// Address gives how to connect to Attune's database on the server that another process runs in a folder. Only the
// users of that process and of the server can.
func Address(dir string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("folder of PostgreSQL: %w", err)
	}
	c := &Cluster{dir: dir, socket: filepath.Join(dir, "run")}
	password, err := os.ReadFile(c.passwordFile())
	if err != nil {
		return "", fmt.Errorf("password of PostgreSQL: %w", err)
	}
	c.password = string(password)
	return c.URL(Database), nil
}
