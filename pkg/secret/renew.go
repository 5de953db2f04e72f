package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/logging"
)

// renewed is how many versions are renewed in one transaction.
const renewed = 50

// Rotate seals every version of a secret under a fresh data key, or returns ErrNotFound. Values and versions stay.
func (s *Store) Rotate(ctx context.Context, owner Owner, name string) error {
	ref := Ref{owner, name}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		k, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		all, err := collect(tx.Query(ctx, "SELECT "+envelopeColumns+" FROM secret_versions v WHERE owner = $1 AND name = $2 ORDER BY version FOR UPDATE", owner, name))
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return ErrNotFound
		}
		for i := range all {
			if err := s.refill(ctx, k, &all[i]); err != nil {
				return err
			}
		}
		return save(ctx, tx, all)
	})
	if err != nil {
		return fmt.Errorf("rotate secret %.200s: %w", ref, err)
	}
	return nil
}

// RotateAll has every version of every secret sealed under a fresh data key. Run does it.
func (s *Store) RotateAll(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "INSERT INTO secret_rotation (before) VALUES (now()) ON CONFLICT (one) DO UPDATE SET before = excluded.before")
	if err != nil {
		return fmt.Errorf("rotate secrets: %w", err)
	}
	s.wake()
	return nil
}

// place is where a walk over all versions stands.
type place struct {
	Ref

	version int64
}

const notRenewed = `(v.key_id <> (SELECT id FROM secret_keys WHERE state = 'current') OR v.keyed_at < (SELECT before FROM secret_rotation))`

// renew walks over all versions once, when there is one that must be wrapped with the current key or sealed under a
// fresh data key. It remembers nothing: what was done is in the rows. Several processes share a walk.
func (s *Store) renew(ctx context.Context) error {
	var needed bool
	if err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM secret_versions v WHERE "+notRenewed+")").Scan(&needed); err != nil {
		return fmt.Errorf("renew secrets: %w", err)
	}
	var broken int64
	for at, more := new(place), needed; more; {
		n, bad, err := s.renewSome(ctx, at)
		if err != nil {
			return fmt.Errorf("renew secrets: %w", err)
		}
		broken += int64(bad)
		more = n == renewed
	}
	s.broken.Store(broken)
	return nil
}

// renewSome renews the versions next behind a place, and moves it. Those that do not open stay as they are.
func (s *Store) renewSome(ctx context.Context, at *place) (found, broken int, err error) {
	next := *at
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		k, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		all, err := collect(tx.Query(ctx, "SELECT "+envelopeColumns+", v.keyed_at < (SELECT before FROM secret_rotation) FROM secret_versions v WHERE "+notRenewed+`
			AND (v.owner, v.name, v.version) > ($1, $2, $3) ORDER BY v.owner, v.name, v.version LIMIT $4 FOR UPDATE SKIP LOCKED`,
			next.Owner, next.Name, next.version, renewed))
		if err != nil {
			return err
		}
		found = len(all)
		var good []envelope
		for _, e := range all {
			next = place{e.Ref, e.Version}
			switch err := s.renewOne(ctx, k, &e); {
			case errors.Is(err, ErrSealed):
				broken++
				s.log.ErrorContext(ctx, "secret cannot be renewed", slog.Int64("version", e.Version), slog.Any(logging.Error, err))
			case err != nil:
				return err
			default:
				good = append(good, e)
			}
		}
		if err := save(ctx, tx, good); err != nil {
			return err
		}
		failpoint.Hit(failpoint.SecretsRenewing)
		return nil
	})
	if err == nil {
		failpoint.Hit(failpoint.SecretsRenewed)
		*at = next
	}
	return found, broken, err
}

// renewOne does to an envelope the least that is needed.
func (s *Store) renewOne(ctx context.Context, k Wrapper, e *envelope) error {
	if e.stale || e.Form != form {
		return s.refill(ctx, k, e)
	}
	old, err := s.ring.find(ctx, e.KeyID)
	if err != nil {
		return err
	}
	return e.rewrap(ctx, old, k)
}

// refill seals the value of an envelope anew.
func (s *Store) refill(ctx context.Context, k Wrapper, e *envelope) error {
	value, err := s.value(ctx, *e)
	if err != nil {
		return err
	}
	defer clear(value)
	e.stale = true
	return e.fill(ctx, k, value)
}

// collect reads envelopes; a further column may say whether the data key is too old.
func collect(rows pgx.Rows, err error) ([]envelope, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (envelope, error) {
		var e envelope
		var stale *bool
		fields := e.fields()
		if len(row.FieldDescriptions()) > len(fields) {
			fields = append(fields, &stale)
		}
		err := row.Scan(fields...)
		e.stale = stale != nil && *stale
		return e, err
	})
}

// save stores what was renewed. The value is written only where it was sealed anew.
func save(ctx context.Context, tx pgx.Tx, all []envelope) error {
	var b pgx.Batch
	for _, e := range all {
		if e.stale {
			b.Queue(`UPDATE secret_versions SET form = $4, key_id = $5, wrapped_key = $6, sealed = $7, keyed_at = greatest(now(), (SELECT before FROM secret_rotation))
				WHERE owner = $1 AND name = $2 AND version = $3`, e.Owner, e.Name, e.Version, e.Form, e.KeyID, e.WrappedKey, e.Sealed)
			continue
		}
		b.Queue("UPDATE secret_versions SET key_id = $4, wrapped_key = $5 WHERE owner = $1 AND name = $2 AND version = $3",
			e.Owner, e.Name, e.Version, e.KeyID, e.WrappedKey)
	}
	return tx.SendBatch(ctx, &b).Close()
}

// wake has Run look after its work now.
func (s *Store) wake() {
	select {
	case s.nudge <- struct{}{}:
	default: // it will
	}
}

// Run does what a Store has to do besides answering, until ctx ends: renewing what is sealed with an old key,
// removing what has come to its end. Any number of processes may.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		s.work(ctx)
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), s.leave(ctx))
		case <-tick.C:
		case <-s.nudge:
		}
	}
}

func (s *Store) work(ctx context.Context) {
	for _, task := range []func(context.Context) error{
		s.ring.load, func(ctx context.Context) error { return s.beat(ctx, s.pool) }, s.advance, s.renew, s.retire, s.clean,
	} {
		if err := task(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "secrets are not looked after", slog.Any(logging.Error, err))
		}
	}
}
