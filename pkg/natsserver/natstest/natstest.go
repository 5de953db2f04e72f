// Package natstest gives tests a real NATS server with Attune's streams.
//
// Every test gets a server of its own, in this process and with its own files; it does not wait for the disk.
// Both connection and server are gone when the test has ended.
package natstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/streams"
)

const timeout = 30 * time.Second

// New starts a server, makes all streams, and gives a connection.
func New(t testing.TB) *bus.Bus {
	t.Helper()
	return Connect(t, Start(t))
}

// Start starts a server with all streams, listening on a free port, for tests that need several connections
// or stop it in the middle.
func Start(t testing.TB) *natsserver.Server {
	t.Helper()
	s, err := natsserver.Start(natsserver.Config{
		Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncSlow: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	b := dial(ctx, t, s)
	defer b.Close()
	if err := streams.Ensure(ctx, b.JS, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// Connect gives a connection to the server that does not use the network.
func Connect(t testing.TB, s *natsserver.Server) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	b := dial(ctx, t, s)
	t.Cleanup(b.Close)
	return b
}

func dial(ctx context.Context, t testing.TB, s *natsserver.Server) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(ctx, bus.Config{URL: s.URL(), CredsFile: s.CredsFile(), Name: t.Name(), InProcess: s.InProcess(), FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
