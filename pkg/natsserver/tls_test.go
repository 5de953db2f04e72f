package natsserver_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/certtest"
	"github.com/attune/attune/pkg/natsserver"
)

// certified gives the certificate of servers on loopback.
func certified(t *testing.T, a *certtest.Authority) natsserver.TLS {
	t.Helper()
	cert, key := a.Server(t, "127.0.0.1")
	return natsserver.TLS{Cert: cert, Key: key, CA: a.CA}
}

func TestClientsOfAServerWithACertificateUseTLSAndCheckIt(t *testing.T) {
	t.Parallel()
	a := certtest.New(t)
	s, err := natsserver.Start(natsserver.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncSlow: true, TLS: certified(t, a), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	knowing, err := bus.Connect(t.Context(), bus.Config{URL: s.URL(), CredsFile: s.CredsFile(), CAFile: a.CA, Name: "knowing", FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	defer knowing.Close()
	if state, err := knowing.Conn.TLSConnectionState(); err != nil || !state.HandshakeComplete {
		t.Errorf("the connection is in the clear: %v", err)
	}
	inside, err := bus.Connect(t.Context(), bus.Config{URL: s.URL(), CredsFile: s.CredsFile(), Name: "inside", InProcess: s.InProcess(), FailFast: true})
	if err != nil {
		t.Errorf("within the process there is nothing to encrypt: %v", err)
	} else {
		inside.Close()
	}
	var unknown x509.UnknownAuthorityError
	if _, err := nats.Connect(s.URL(), nats.UserCredentials(s.CredsFile())); !errors.As(err, &unknown) {
		t.Errorf("a client that does not know the authority got %v", err)
	}
}

func TestACertificateThatCannotBeReadStopsTheStart(t *testing.T) {
	t.Parallel()
	a := certtest.New(t)
	good := certified(t, a)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]natsserver.TLS{
		"no key":         {Cert: good.Cert, Key: empty},
		"another's key":  {Cert: good.Cert, Key: strings.TrimSuffix(a.CA, ".pem") + ".key"},
		"no authority":   {Cert: good.Cert, Key: good.Key, CA: empty},
		"missing":        {Cert: empty + "x", Key: good.Key},
		"authority gone": {Cert: good.Cert, Key: good.Key, CA: empty + "x"},
	} {
		s, err := natsserver.Start(natsserver.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", TLS: bad, Logger: quiet})
		if err == nil {
			s.Stop()
			t.Errorf("%s: it started", what)
		}
	}
}

func TestServersOfAClusterCheckEachOthersCertificates(t *testing.T) {
	t.Parallel()
	dir, creds := identities(t)
	a := certtest.New(t)
	addrs := freeAddrs(t, 3)
	var urls string
	for i, addr := range addrs {
		s, err := natsserver.Start(natsserver.Config{
			Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncSlow: true, Logger: quiet, TLS: certified(t, a),
			Member: natsserver.Member{Name: fmt.Sprintf("n%d", i), Addr: addr, Routes: addrs, Identities: dir},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		urls = s.URL()
	}
	b, err := bus.Connect(t.Context(), bus.Config{URL: urls, CredsFile: creds, CAFile: a.CA, Name: "test", FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	keepThrice(t, b)
}

// A server that shows no certificate of theirs is not let in, even with the password.
func TestAServerWithoutACertificateStaysOutside(t *testing.T) {
	t.Parallel()
	dir, creds := identities(t)
	addrs := freeAddrs(t, 2)
	heard := refusals{Handler: slog.DiscardHandler, text: "TLS", heard: make(chan struct{}, 1)}
	a := certtest.New(t)
	s, err := natsserver.Start(natsserver.Config{
		Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncSlow: true, Logger: slog.New(heard), TLS: certified(t, a),
		Member: natsserver.Member{Name: "n0", Addr: addrs[0], Routes: addrs, Identities: dir},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	join(t, quiet, "stranger", addrs[1], addrs, dir)
	select {
	case <-heard.heard:
	case <-time.After(time.Minute):
		t.Fatal("nobody was turned away")
	}
	b, err := bus.Connect(t.Context(), bus.Config{URL: s.URL(), CredsFile: creds, CAFile: a.CA, Name: "test", FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if found := b.Conn.DiscoveredServers(); len(found) != 0 {
		t.Errorf("it is in a cluster with %v", found)
	}
}
