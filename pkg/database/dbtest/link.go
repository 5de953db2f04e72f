package dbtest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrCut is what connecting gives while the link is cut.
var ErrCut = errors.New("link to the database is cut")

// Link is the way to a test's database, which a test may cut to see what happens while PostgreSQL is away.
type Link struct {
	dial pgconn.DialFunc

	mu    sync.Mutex // guards the fields below
	cut   bool
	conns map[net.Conn]struct{}
}

// NewLinked is New with a link that can be cut.
func NewLinked(t testing.TB) (*pgxpool.Pool, *Link) {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(URL(t))
	if err != nil {
		t.Fatal(err)
	}
	link := &Link{dial: (&net.Dialer{Timeout: time.Second}).DialContext, conns: map[net.Conn]struct{}{}}
	cfg.ConnConfig.DialFunc = link.connect
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, link
}

func (l *Link) connect(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, ErrCut
	}
	c, err := l.dial(ctx, network, address)
	if err == nil {
		l.conns[c] = struct{}{}
	}
	return c, err
}

// Cut breaks all connections and refuses new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		_ = c.Close() // it may be closed already
	}
	clear(l.conns)
}

// Restore lets connections through again.
func (l *Link) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}
