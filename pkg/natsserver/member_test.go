package natsserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
)

// freeAddrs gives addresses that nobody listens on.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // it was only a probe
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func identities(t *testing.T) (dir, creds string) {
	t.Helper()
	dir = t.TempDir()
	creds, err := natsserver.MakeIdentities(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := natsserver.MakeIdentities(dir); err != nil || again != creds {
		t.Fatalf("a second time: %s, %v", again, err)
	}
	return dir, creds
}

var quiet = slog.New(slog.DiscardHandler)

// join starts a member of the cluster at these addresses. It is up to the others whether it gets in.
func join(t *testing.T, log *slog.Logger, name, addr string, routes []string, identities string) *natsserver.Server {
	t.Helper()
	s, err := natsserver.Start(natsserver.Config{
		Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncSlow: true, Logger: log,
		Member: natsserver.Member{Name: name, Addr: addr, Routes: routes, Identities: identities},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// keepThrice makes a stream with three copies, which needs that the servers have found each other.
func keepThrice(t *testing.T, b *bus.Bus) jetstream.Stream {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		s, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}, Replicas: 3})
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestThreeServersKeepACopyEach(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts three servers")
	}
	dir, creds := identities(t)
	addrs := freeAddrs(t, 3)
	var urls []string
	for i, addr := range addrs {
		urls = append(urls, join(t, quiet, fmt.Sprintf("n%d", i), addr, addrs, dir).URL())
	}
	b, err := bus.Connect(t.Context(), bus.Config{URL: strings.Join(urls, ","), CredsFile: creds, Name: "test", FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if c := keepThrice(t, b).CachedInfo().Cluster; c == nil || len(c.Replicas) != 2 || c.Name != "attune" {
		t.Errorf("the stream is on %+v", c)
	}
}

// refusals is a log that hears when a server turns another away.
type refusals struct {
	slog.Handler
	text  string        // what it says then
	heard chan struct{} // holds one when it has
}

func (r refusals) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if strings.Contains(a.Value.String(), r.text) {
			select {
			case r.heard <- struct{}{}:
			default:
			}
		}
		return true
	})
	return nil
}

func (refusals) Enabled(context.Context, slog.Level) bool { return true }

func TestAServerWithoutThePasswordIsTurnedAway(t *testing.T) {
	t.Parallel()
	dir, creds := identities(t)
	foreign, _ := identities(t)
	for _, name := range []string{"operator.nk", "system-account.nk", "attune-account.nk"} { // it knows everything else
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(foreign, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addrs := freeAddrs(t, 2)
	log := refusals{Handler: slog.DiscardHandler, text: "authentication error", heard: make(chan struct{}, 1)}
	first := join(t, slog.New(log), "n0", addrs[0], addrs, dir)
	join(t, quiet, "stranger", addrs[1], addrs, foreign)
	select {
	case <-log.heard:
	case <-time.After(time.Minute):
		t.Fatal("nobody was turned away")
	}
	b, err := bus.Connect(t.Context(), bus.Config{URL: first.URL(), CredsFile: creds, Name: "test", FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if found := b.Conn.DiscoveredServers(); len(found) != 0 {
		t.Errorf("it is in a cluster with %v", found)
	}
}
