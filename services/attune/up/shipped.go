package up

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/attune/attune/packs"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
)

// installShipped installs the packs that ship with this program, the way any other pack is installed.
func (m *machine) installShipped(ctx context.Context) error {
	c, err := client.New(client.Config{URL: m.apiURL(), Token: m.token, Agent: "attune-up"})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, name := range packs.Shipped() {
		archive, err := archiveShipped(name)
		if err != nil {
			return fmt.Errorf("shipped pack %s: %w", name, err)
		}
		done, err := c.InstallPack(ctx, archive, "shipped")
		if err != nil {
			return fmt.Errorf("shipped pack %s: %w", name, err)
		}
		m.log.DebugContext(ctx, "shipped pack in place", slog.String(logging.Pack, name), slog.String("change", done.Change))
	}
	return nil
}

func archiveShipped(name string) ([]byte, error) {
	tree, err := fs.Sub(packs.FS, name)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "attune-pack-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a copy in the system's temporary folder
	folder := filepath.Join(dir, name)
	if err := os.CopyFS(folder, tree); err != nil {
		return nil, err
	}
	_, archive, err := pack.Archive(folder)
	return archive, err
}
