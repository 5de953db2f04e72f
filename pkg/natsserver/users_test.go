package natsserver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// issue gives a file with credentials of a new user of a server.
func issue(t *testing.T, s *natsserver.Server, name, role string) string {
	t.Helper()
	creds, err := natsserver.Issue(keysOf(s), name, role)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name+".creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func keysOf(s *natsserver.Server) string { return filepath.Join(filepath.Dir(s.UsersDir()), "keys") }

// supervise runs the server's own loop until the test ends.
func supervise(t *testing.T, s *natsserver.Server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestARevokedUserIsDisconnectedAndStaysOut(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	supervise(t, s)
	creds, others := issue(t, s, "web-7", streams.UserRunner), issue(t, s, "web-8", streams.UserRunner)
	gone := make(chan error, 1)
	one, err := nats.Connect(s.URL(), nats.UserCredentials(creds), nats.NoReconnect(), nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { gone <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	other, err := nats.Connect(s.URL(), nats.UserCredentials(others))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := natsserver.Revoke(keysOf(s), "web-7"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Fatal("it is still connected")
	}
	refused := func() {
		t.Helper()
		if _, err := nats.Connect(s.URL(), nats.UserCredentials(creds)); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("it connects again: %v", err)
		}
	}
	refused()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	refused()
	if err := other.ForceReconnect(); err != nil {
		t.Error(err)
	}
	if err := other.FlushTimeout(time.Minute); err != nil {
		t.Errorf("the other one: %v", err)
	}
}

func TestUsersAreListedWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	dir, _ := identities(t)
	for _, name := range []string{"b", "a"} {
		if _, err := natsserver.Issue(dir, name, streams.UserRules); err != nil {
			t.Fatal(err)
		}
	}
	if err := natsserver.Revoke(dir, "b"); err != nil {
		t.Fatal(err)
	}
	users, err := natsserver.Issued(dir)
	if err != nil || len(users) != 2 || users[0].Name != "a" || users[1].Role != streams.UserRules {
		t.Fatalf("%+v, %v", users, err)
	}
	if users[0].Revoked != nil || users[1].Revoked == nil {
		t.Errorf("revoked: %+v", users)
	}
	first := *users[1].Revoked
	if err := natsserver.Revoke(dir, "b"); err != nil {
		t.Error(err)
	}
	if again, err := natsserver.Issued(dir); err != nil || !again[1].Revoked.Equal(first) {
		t.Errorf("revoked twice: %+v, %v", again, err)
	}
}

func TestNamesOfUsersAreUsedOnce(t *testing.T) {
	t.Parallel()
	dir, _ := identities(t)
	if _, err := natsserver.Issue(dir, "web-7", streams.UserRunner); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]struct {
		name, role string
		want       error
	}{
		"the same again":     {"web-7", streams.UserRules, natsserver.ErrUserExists},
		"no role":            {"web-8", "root", streams.ErrNoUser},
		"a path":             {"../web", streams.UserRunner, streams.ErrBadToken},
		"nothing":            {"", streams.UserRunner, streams.ErrBadToken},
		"a folder of itself": {".", streams.UserRunner, streams.ErrBadToken},
	} {
		if _, err := natsserver.Issue(dir, try.name, try.role); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := natsserver.Revoke(dir, "web-8"); !errors.Is(err, natsserver.ErrNoSuchUser) {
		t.Errorf("nobody: %v", err)
	}
}
