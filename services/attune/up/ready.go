package up

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// awaitReady returns when the API says that everything it needs is there.
func awaitReady(ctx context.Context, api string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if isReady(ctx, api) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the API: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func isReady(ctx context.Context, api string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer res.Body.Close()               //nolint:errcheck // it was read
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection can be used again
	return res.StatusCode == http.StatusOK
}
