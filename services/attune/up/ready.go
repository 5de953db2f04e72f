package up

import (
	"context"
	"fmt"
	"time"

	"github.com/attune/attune/pkg/client"
)

// readyPatience bounds one question whether the API is ready.
const readyPatience = 5 * time.Second

// awaitReady returns when the API says that everything it needs is there.
func awaitReady(ctx context.Context, c *client.Client) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if isReady(ctx, c) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the API: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func isReady(ctx context.Context, c *client.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	h, err := c.Ready(ctx)
	if err != nil {
		return false
	}
	for _, check := range h.Checks {
		if !check.OK {
			return false
		}
	}
	return true
}
