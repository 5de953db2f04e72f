package sensor

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/secret"
)

// watchSecrets tells the versions of all secrets, at first and when one of them has changed, until its second result
// is called.
func (h *Host) watchSecrets(ctx context.Context) (<-chan map[secret.Ref]string, func()) {
	if h.DB == nil {
		return nil, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	out, done := make(chan map[secret.Ref]string), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTimer(lifecycle.UntilBeat(h.Pace.Secrets))
		defer tick.Stop()
		var known map[secret.Ref]string
		for {
			known = h.lookAtSecrets(ctx, known, out)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				tick.Reset(lifecycle.UntilBeat(h.Pace.Secrets))
			}
		}
	}()
	return out, func() { cancel(); <-done }
}

// lookAtSecrets tells the versions when they are not those that are known. While PostgreSQL is away the last known
// ones hold; at the very first time that there are none.
func (h *Host) lookAtSecrets(ctx context.Context, known map[secret.Ref]string, out chan<- map[secret.Ref]string) map[secret.Ref]string {
	reading, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	versions, err := secret.Versions(reading, h.DB)
	switch {
	case err != nil && ctx.Err() == nil:
		h.log.WarnContext(ctx, "changes of secrets are not seen", slog.Any(logging.Error, err))
		return known
	case err != nil || known != nil && maps.Equal(known, versions):
		return known
	}
	select {
	case out <- versions:
		return versions
	case <-ctx.Done():
		return known
	}
}
