package up

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/packs"
	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/logging"
)

// installNow puts a pack in service at once: nobody waits for interpreters that a machine may not even have.
func installNow(ctx context.Context, c *client.Client, archive []byte) (api.PackInstalled, error) {
	started, err := c.StartInstall(ctx, archive, client.Install{Source: "shipped", Switch: api.SwitchNow, Wait: shippedWait})
	if err != nil {
		return started, err
	}
	return c.AwaitInstall(ctx, started, nil)
}

// shippedWait is how long one answer may take until a shipped pack is in service, which is a matter of moments.
const shippedWait = 10 * time.Second

// installShipped installs the packs that ship with this program, the way any other pack is installed.
func (m *machine) installShipped(ctx context.Context, c *client.Client) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range packs.Shipped() {
		g.Go(func() error { return m.installOne(ctx, c, name) })
	}
	return g.Wait()
}

func (m *machine) installOne(ctx context.Context, c *client.Client, name string) error {
	archive, err := packs.Archive(name)
	if err != nil {
		return fmt.Errorf("shipped pack %s: %w", name, err)
	}
	done, err := installNow(ctx, c, archive)
	if err != nil {
		return fmt.Errorf("shipped pack %s: %w", name, err)
	}
	m.log.DebugContext(ctx, "shipped pack in place", slog.String(logging.Pack, name), slog.String("change", done.Change))
	return nil
}
