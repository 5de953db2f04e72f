package audit

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store is the table.
type Store struct {
	pool *pgxpool.Pool
}

// New gives the audit of a database whose migrations have been applied.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// row is a row as it is stored.
type row struct {
	Seq     int64     `db:"seq"`
	At      time.Time `db:"at"`
	Actor   string    `db:"actor"`
	Address string    `db:"address"`
	Action  string    `db:"action"`
	Kind    string    `db:"kind"`
	Object  string    `db:"object"`
	Outcome string    `db:"outcome"`
	Detail  string    `db:"detail"`
	Request string    `db:"request"`
	Of      int64     `db:"of"`
	Before  *string   `db:"before"`
	After   *string   `db:"after"`
	Prev    []byte    `db:"prev"`
	Hash    []byte    `db:"hash"`
}

// As text: what is hashed must come back as it was given.
const columns = `seq, at, actor, address, action, kind, object, outcome, detail, request, of, before::text AS before, after::text AS after, prev, hash`

func (r row) public() Row {
	return Row{
		Seq: r.Seq, At: r.At.UTC(), Prev: r.Prev, Hash: r.Hash,
		Entry: Entry{
			Actor: r.Actor, Address: r.Address, Action: r.Action, Kind: r.Kind, Object: r.Object, Outcome: Outcome(r.Outcome),
			Detail: r.Detail, Request: r.Request, Of: r.Of, Before: document(r.Before), After: document(r.After),
		},
	}
}

func document(text *string) json.RawMessage {
	if text == nil {
		return nil
	}
	return json.RawMessage(*text)
}

func nullable(raw json.RawMessage) *string {
	if raw == nil {
		return nil
	}
	text := string(raw)
	return &text
}

// clean makes text what PostgreSQL can store, and no longer than anybody reads.
func clean(text string) string {
	const most = 500
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "?"), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

func (e Entry) cleaned() Entry {
	for _, field := range []*string{&e.Actor, &e.Address, &e.Action, &e.Kind, &e.Object, &e.Detail, &e.Request} {
		*field = clean(*field)
	}
	return e
}

// Append adds a row. Appends of all processes wait for each other, so it is short.
func (s *Store) Append(ctx context.Context, e Entry) (Row, error) {
	r := Row{Entry: e.cleaned()}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('attune audit'))"); err != nil {
			return err
		}
		last, err := newest(ctx, tx)
		if err != nil {
			return err
		}
		r.Seq, r.Prev, r.At = last.Seq+1, last.Hash, time.Now().UTC().Truncate(time.Microsecond)
		r.Hash = r.seal()
		_, err = tx.Exec(ctx, `INSERT INTO audit (seq, at, actor, address, action, kind, object, outcome, detail, request, of, before, after, prev, hash)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::json, $13::text::json, $14, $15)`,
			r.Seq, r.At, r.Actor, r.Address, r.Action, r.Kind, r.Object, string(r.Outcome), r.Detail, r.Request, r.Of,
			nullable(r.Before), nullable(r.After), r.Prev, r.Hash)
		return err
	})
	if err != nil {
		return Row{}, fmt.Errorf("append to the audit: %w", err)
	}
	return r, nil
}

// querier is a transaction or a pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// newest gives the last row, or one before the first.
func newest(ctx context.Context, q querier) (Row, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM audit ORDER BY seq DESC LIMIT 1`)
	if err != nil {
		return Row{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
	if errors.Is(err, pgx.ErrNoRows) {
		return Row{Prev: make([]byte, size), Hash: make([]byte, size)}, nil
	}
	return r.public(), err
}

// Head gives the newest row's place and hash.
func (s *Store) Head(ctx context.Context) (Head, error) {
	r, err := newest(ctx, s.pool)
	if err != nil {
		return Head{}, fmt.Errorf("head of the audit: %w", err)
	}
	return Head{Seq: r.Seq, Hash: hex.EncodeToString(r.Hash)}, nil
}

// Filter chooses rows. The empty one chooses all.
type Filter struct {
	Actor  string
	Kind   string
	Object string
	Action string
	Since  time.Time // then or later
	Until  time.Time // before
}

// List gives rows, the newest first: at most limit of those before the row with a number, 0 meaning from the newest on.
// What was begun and has an outcome shows as the outcome alone.
func (s *Store) List(ctx context.Context, f Filter, before int64, limit int) ([]Row, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+columns+` FROM audit AS a
		WHERE ($1 = '' OR actor = $1) AND ($2 = '' OR kind = $2) AND ($3 = '' OR object = $3) AND ($4 = '' OR action = $4)
		  AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
		  AND ($7 = 0 OR seq < $7)
		  AND NOT (outcome = 'begun' AND EXISTS (SELECT FROM audit AS b WHERE b.of = a.seq AND b.of > 0))
		ORDER BY seq DESC LIMIT $8`,
		f.Actor, f.Kind, f.Object, f.Action, nullTime(f.Since), nullTime(f.Until), before, limit)
	if err != nil {
		return nil, fmt.Errorf("list the audit: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return nil, fmt.Errorf("list the audit: %w", err)
	}
	out := make([]Row, len(found))
	for i, r := range found {
		out[i] = r.public()
	}
	return out, nil
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
