// Package history is the read model: events, decisions and executions in PostgreSQL.
//
// The recorder projects the streams into it; the API and others ask it. It guarantees that projecting is
// idempotent under any repetition and any order between the streams, that an execution's status only moves
// as the table of statuses allows, and that a batch is in the database whole or not at all. It may lag behind
// the streams by milliseconds, and for as long as PostgreSQL is away.
//
// Payloads, parameters and results are columns of type json, not jsonb: they are given back byte by byte as
// they were published, and the database refuses nothing that the rest of Attune took (jsonb refuses \u0000,
// lone surrogates and numbers beyond its range).
package history

import (
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed sql/*.sql
var queries embed.FS

var (
	// ErrNotFound is returned when history holds no such event or execution.
	ErrNotFound = errors.New("not found in history")
	// ErrBadCursor is returned for a cursor that no page was given out with.
	ErrBadCursor = errors.New("cursor is not valid")
	// ErrBadFilter is returned for a filter that cannot be understood.
	ErrBadFilter = errors.New("filter is not valid")
)

// Store reads and writes history.
type Store struct {
	pool *pgxpool.Pool
}

// New gives the history that the pool's database holds.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// query gives the statement of a file; a missing one is a fault of the program.
func query(name string) string {
	b, err := queries.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(fmt.Sprintf("history: statement %s: %v", name, err))
	}
	return string(b)
}
