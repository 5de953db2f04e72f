package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// State is what the sweeper says of itself.
type State struct {
	Policies Policies      `json:"policies"`
	Every    time.Duration `json:"every,omitempty"`
	Sweep    *Sweep        `json:"sweep,omitempty"` // the last, or the one that is under way
	NextAt   time.Time     `json:"next_at,omitzero"`
}

// Sweep is one sweep.
type Sweep struct {
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"` // zero: it is under way, or was cut short
	Why       string    `json:"why"`
	Report    Report    `json:"report"`
	Error     string    `json:"error,omitempty"`
}

// Request is what an operator asked for last.
type Request struct {
	At time.Time
	By string
}

// Ledger is where the sweeper and those who ask it meet.
type Ledger struct{ DB *pgxpool.Pool }

// Read gives the state and the last request.
func (l Ledger) Read(ctx context.Context) (State, Request, error) {
	var st State
	var r Request
	var at *time.Time
	var text string
	err := l.DB.QueryRow(ctx, `SELECT state::text, requested_at, requested_by FROM retention`).Scan(&text, &at, &r.By)
	if err == nil {
		err = json.Unmarshal([]byte(text), &st)
	}
	if err != nil {
		return st, r, fmt.Errorf("read state of retention: %w", err)
	}
	if at != nil {
		r.At = at.UTC()
	}
	return st, r, nil
}

// Write keeps the state.
func (l Ledger) Write(ctx context.Context, st State) error {
	text, err := json.Marshal(st)
	if err == nil {
		_, err = l.DB.Exec(ctx, `UPDATE retention SET state = $1::json`, string(text))
	}
	if err != nil {
		return fmt.Errorf("keep state of retention: %w", err)
	}
	return nil
}

// Ask asks for a sweep, and tells when: the sweep that begins then or later is the one.
func (l Ledger) Ask(ctx context.Context, by string) (at time.Time, err error) {
	err = l.DB.QueryRow(ctx, `WITH asked AS (UPDATE retention SET requested_at = clock_timestamp(), requested_by = $1 RETURNING requested_at)
		SELECT requested_at FROM asked, pg_notify('attune_retention', '')`, by).Scan(&at)
	if err != nil {
		return at, fmt.Errorf("ask for a sweep: %w", err)
	}
	return at.UTC(), nil
}

// Wait returns when a sweep is asked for, at the latest after that time. It holds a connection while it waits.
func (l Ledger) Wait(ctx context.Context, most time.Duration) error {
	conn, err := l.DB.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("wait for requests of sweeps: %w", err)
	}
	raw := conn.Hijack() // it listens, so it must not go back to the pool
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = raw.Close(ctx) // the server notices in any case
	}()
	if _, err := raw.Exec(ctx, "LISTEN attune_retention"); err != nil {
		return fmt.Errorf("wait for requests of sweeps: %w", err)
	}
	if st, r, err := l.Read(ctx); err != nil || st.Owes(r) {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if _, err = raw.WaitForNotification(waiting); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

// Owes tells whether a request has not been met: no sweep that began afterwards has come to an end.
func (s State) Owes(r Request) bool {
	return !r.At.IsZero() && (s.Sweep == nil || s.Sweep.StartedAt.Before(r.At) || s.Sweep.EndedAt.IsZero())
}
