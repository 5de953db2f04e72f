package natsserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/natsserver/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.AsyncPublisher()) }

func start(t *testing.T, dir, addr string) *natsserver.Server {
	t.Helper()
	s, err := natsserver.Start(natsserver.Config{Dir: dir, Addr: addr, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func connect(t *testing.T, s *natsserver.Server, inProcess nats.Option) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Config{URL: s.URL(), CredsFile: s.CredsFile(), Name: "test", InProcess: inProcess, FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestNobodyConnectsWithoutCredentials(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "127.0.0.1:0")
	for name, opts := range map[string][]nats.Option{
		"without credentials":                nil,
		"with credentials of another server": {nats.UserCredentials(start(t, t.TempDir(), "").CredsFile())},
	} {
		nc, err := nats.Connect(s.URL(), opts...)
		if err == nil {
			nc.Close()
		}
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: got %v, want %v", name, err, nats.ErrAuthorization)
		}
	}
}

func TestSecretsAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, dir, "")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || ext != ".nk" && ext != ".creds" {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStreamsAndCredentialsAreTheSameAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir, "127.0.0.1:0")
	kept := connect(t, s, s.InProcess())
	cfg := jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}
	if _, err := kept.JS.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.JS.Publish(t.Context(), "kept", []byte("1")); err != nil {
		t.Fatal(err)
	}
	creds, url := s.CredsFile(), s.URL()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if s.URL() != url || s.CredsFile() != creds {
		t.Errorf("address %s became %s", url, s.URL())
	}
	awaitMessage(t, kept)
	s.Stop()
	next := start(t, dir, "")
	awaitMessage(t, connect(t, next, next.InProcess()))
}

// awaitMessage waits until the connection is back and the message is seen through it.
func awaitMessage(t *testing.T, b *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		try, end := context.WithTimeout(ctx, time.Second) // a request that was on its way is not answered
		stream, err := b.JS.Stream(try, "KEPT")
		end()
		if err == nil {
			if n := stream.CachedInfo().State.Msgs; n != 1 {
				t.Errorf("%d messages are kept", n)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestATakenPortIsSaid(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test's listener
	_, err = natsserver.Start(natsserver.Config{Dir: t.TempDir(), Addr: l.Addr().String(), Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, natsserver.ErrPortTaken) {
		t.Fatalf("got %v, want %v", err, natsserver.ErrPortTaken)
	}
}

func TestTheContextIsWhereTheNATSCommandLooks(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	file, err := natsserver.SaveContext("attune", "nats://127.0.0.1:4222", "/x/attune.creds", "")
	if err != nil || file != filepath.Join(config, "nats", "context", "attune.json") {
		t.Fatalf("saved to %s: %v", file, err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(content, &got); err != nil || got["url"] != "nats://127.0.0.1:4222" || got["creds"] != "/x/attune.creds" {
		t.Fatalf("%s: %v", content, err)
	}
	if same, err := natsserver.ContextFile("attune"); err != nil || same != file {
		t.Errorf("it is looked for at %s: %v", same, err)
	}
}
