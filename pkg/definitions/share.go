package definitions

import (
	"context"
	"runtime"
	"sync"
	"weak"

	"github.com/jackc/pgx/v5/pgxpool"
)

// newest is the last snapshot that was read of a database, while anybody in this process uses it. Many services may run
// in one process, and what ten thousand actions take is taken once.
type newest struct {
	reading chan struct{} // holds a token while somebody reads
	last    weak.Pointer[Snapshot]
}

// shared is the newest of each database: weak.Pointer[pgxpool.Pool] to *newest.
var shared sync.Map

func newestOf(pool *pgxpool.Pool) *newest {
	key := weak.Make(pool)
	made, known := shared.LoadOrStore(key, &newest{reading: make(chan struct{}, 1)})
	if !known {
		runtime.AddCleanup(pool, func(key weak.Pointer[pgxpool.Pool]) { shared.Delete(key) }, key)
	}
	return made.(*newest)
}

// Snapshot reads all definitions as of one moment. Those who ask at the same time, and when nothing has changed, get the
// same one.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	n := newestOf(s.pool)
	select {
	case n.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-n.reading }()
	if last := n.last.Value(); last != nil {
		revision, err := s.Revision(ctx)
		if err != nil {
			return nil, err
		}
		if revision == last.Revision {
			return last, nil
		}
	}
	read, err := s.read(ctx)
	if err == nil {
		n.last = weak.Make(read)
	}
	return read, err
}
