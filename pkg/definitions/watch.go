package definitions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/lifecycle"
)

// reconcileEvery is how long a change can stay unseen when its notification was lost.
const reconcileEvery = 30 * time.Second

// Watch calls use with a snapshot at the start and soon after every change, until ctx ends. Calls do not
// overlap; changes that come while one runs are seen together by the next. While PostgreSQL is away Watch
// tries again, ever less often, and the last snapshot stays in force. It holds one connection of the pool.
func (s *Store) Watch(ctx context.Context, log *slog.Logger, use func(*Snapshot)) error {
	return newWatcher(s, log, use).run(ctx)
}

func newWatcher(s *Store, log *slog.Logger, use func(*Snapshot)) *watcher {
	w := &watcher{store: s, log: log, use: use, seen: -1, every: reconcileEvery, pause: backoff.NewExponentialBackOff()}
	w.pause.InitialInterval, w.pause.MaxInterval = 100*time.Millisecond, 5*time.Second
	return w
}

func (w *watcher) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := w.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		next := w.pause.NextBackOff()
		w.log.WarnContext(ctx, "definitions unreachable, using the last known ones",
			slog.Any("error", err), slog.Duration("in", next))
		lifecycle.Pause(ctx, next)
	}
	return context.Cause(ctx)
}

type watcher struct {
	store *Store
	log   *slog.Logger
	use   func(*Snapshot)
	seen  int64         // revision of the snapshot that was handed out last
	every time.Duration // how long to wait for a notification before looking
	pause *backoff.ExponentialBackOff
}

// follow listens on one connection until it breaks.
func (w *watcher) follow(ctx context.Context) error {
	conn, err := w.store.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("watch definitions: %w", err)
	}
	defer w.discard(conn)
	if _, err := conn.Exec(ctx, "LISTEN attune_definitions"); err != nil {
		return fmt.Errorf("watch definitions: %w", err)
	}
	for {
		if err := w.refresh(ctx); err != nil {
			return err
		}
		w.pause.Reset()
		if err := w.notification(ctx, conn); err != nil {
			return fmt.Errorf("watch definitions: %w", err)
		}
	}
}

// discard closes the connection: it listens, so it must not go back to the pool.
func (w *watcher) discard(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := conn.Hijack().Close(ctx); err != nil {
		w.log.DebugContext(ctx, "close connection", slog.Any("error", err))
	}
}

// notification waits for a change, but not for ever: a notification may be lost.
func (w *watcher) notification(ctx context.Context, conn *pgxpool.Conn) error {
	waitCtx, cancel := context.WithTimeout(ctx, w.every)
	defer cancel()
	_, err := conn.Conn().WaitForNotification(waitCtx)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

func (w *watcher) refresh(ctx context.Context) error {
	revision, err := w.store.Revision(ctx)
	if err != nil {
		return err
	}
	if revision == w.seen {
		return nil
	}
	snap, err := w.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	w.seen = snap.Revision
	w.log.DebugContext(ctx, "definitions changed", slog.Int64("revision", snap.Revision))
	w.use(snap)
	return nil
}

// Revision tells which snapshot is the latest, at a fraction of the cost of reading it.
func (s *Store) Revision(ctx context.Context) (revision int64, err error) {
	err = s.pool.QueryRow(ctx, "SELECT revision FROM definitions_revision").Scan(&revision)
	if err != nil {
		return 0, fmt.Errorf("revision of the definitions: %w", err)
	}
	return revision, nil
}
