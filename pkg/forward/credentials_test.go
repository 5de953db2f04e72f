package forward_test

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/attune/attune/pkg/authority"
	"github.com/attune/attune/pkg/credential"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/forward"
)

// guarded is a collector that speaks TLS and wants a token, and a tenant.
type guarded struct {
	*collector
	ca     string // file with its certificate
	mu     sync.Mutex
	tokens []string // that it accepts
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{collector: &collector{}}
	g.Server = httptest.NewTLSServer(g)
	t.Cleanup(g.Close)
	g.ca = filepath.Join(t.TempDir(), "ca.pem")
	keep(t, g.ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw})))
	return g
}

func (g *guarded) accept(tokens ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens = tokens
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	known := false
	for _, token := range g.tokens {
		known = known || r.Header.Get("Authorization") == "Bearer "+token
	}
	g.mu.Unlock()
	switch {
	case !known:
		defer g.requests.Add(1)
		http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized) // it repeats what it was sent
	case r.Header.Get("X-Scope-Orgid") != "Müller, Söhne" || r.Header.Get("User-Agent") != "attune":
		defer g.requests.Add(1)
		w.WriteHeader(http.StatusForbidden)
	default:
		g.collector.ServeHTTP(w, r)
	}
}

// keep replaces a file as an agent does.
func keep(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
}

func headers(token string) string {
	return "Authorization=Bearer%20" + token + ", X-Scope-OrgID = M%C3%BCller%2C%20S%C3%B6hne\n"
}

// A token that is renewed is taken while output is forwarded. One that the receiver does not accept delays, is seen
// once, and nothing is lost by it or comes twice.
func TestLinesWaitForCredentialsThatTheReceiverAccepts(t *testing.T) {
	t.Parallel()
	f, g := newFixture(t), newGuarded(t)
	file := filepath.Join(t.TempDir(), "headers")
	keep(t, file, headers("hidden1"))
	g.accept("hidden1")
	want := map[string][]byte{}
	more := func() {
		id := execution.NewID()
		want[id+"/stdout"] = numbered(100 << 10)
		f.print(t, id, want[id+"/stdout"], nil)
	}
	come := func() {
		t.Helper()
		for stream, text := range want {
			eventually(t, stream+" has come", func() bool { return g.has(t, stream, text) })
		}
	}
	more()
	f.startTo(t, forward.Destination{Target: g.target(), HeadersFile: file, CAFile: g.ca})
	come()
	g.accept("hidden1", "hidden2")
	keep(t, file, headers("hidden2"))
	g.accept("hidden2")
	more()
	come()
	if f.said.count("401") != 0 {
		t.Error("a request was refused although the token was renewed in time")
	}
	g.accept("hidden3")
	seen := g.requests.Load()
	more()
	eventually(t, "it is tried again", func() bool { return g.requests.Load() >= seen+2 && f.metric(t, "lag") > 0 })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is missed", func() bool { return f.said.count("cannot be read") == 1 })
	keep(t, file, headers("hidden3"))
	more()
	come()
	eventually(t, "nothing waits", func() bool { return f.metric(t, "lag") == 0 && f.unread(t) == 0 })
	if n := f.said.count("401 Unauthorized: it does not accept the credentials"); n != 1 {
		t.Errorf("it is said %d times that the credentials are not accepted", n)
	}
	if f.said.count("forwarded again") != 1 || f.said.count("hidden") != 0 {
		t.Errorf("it is not said that output goes on, or a token is shown:\n%s", f.said.text.String())
	}
	if n := f.metric(t, "dropped_total") + f.metric(t, "refused_total"); n != 0 || g.repeated() != 0 {
		t.Errorf("%v are said to be gone, %d came twice", n, g.repeated())
	}
}

// A receiver that was away and then wants credentials is seen to do so.
func TestARefusalBehindAnotherFailureIsSeen(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	f.say(t, "a", 0, "one\n", true)
	c.troubled(answer(503, ""))
	f.start(t, c.target())
	eventually(t, "it is away", func() bool { return f.said.count("503 Service Unavailable") == 1 })
	c.troubled(answer(403, ""))
	eventually(t, "it wants credentials", func() bool { return f.said.count("403 Forbidden: it does not accept") == 1 })
	c.troubled(nil)
	eventually(t, "the line has come", func() bool { return c.has(t, "a/stdout", []byte("one")) && f.unread(t) == 0 })
}

func TestAReceiverWithAnUnknownCertificateGetsNothing(t *testing.T) {
	t.Parallel()
	f, g := newFixture(t), newGuarded(t)
	g.accept("hidden")
	f.say(t, "a", 0, "one\n", true)
	d := forward.Destination{Target: g.target(), Headers: headers("hidden")}
	stop := f.startTo(t, d)
	eventually(t, "it is seen", func() bool { return f.said.count("certificate") > 0 })
	stop()
	if n := g.requests.Load(); n != 0 {
		t.Errorf("it had %d requests", n)
	}
	d.CAFile = g.ca
	f.startTo(t, d)
	eventually(t, "the line has come", func() bool { return g.has(t, "a/stdout", []byte("one")) && f.unread(t) == 0 })
}

func TestDestinationsThatAreRefusedAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode fs.FileMode) string {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(name, []byte(text), 0o600), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const target = "otlp+https://127.0.0.1:1"
	for what, c := range map[string]struct {
		forward.Destination
		want error
	}{
		"headers for a file":        {forward.Destination{Target: "file:///x", Headers: "X-Token=hidden"}, forward.ErrHeaders},
		"a file of them for a file": {forward.Destination{Target: "file:///x", HeadersFile: "/hidden"}, forward.ErrHeaders},
		"headers in two places":     {forward.Destination{Target: target, Headers: "X-Token=hidden", HeadersFile: "/hidden"}, forward.ErrHeaders},
		"two passwords":             {forward.Destination{Target: "otlp+https://u:hidden@h", Headers: "authorization=hidden"}, forward.ErrHeaders},
		"no file":                   {forward.Destination{Target: target, HeadersFile: filepath.Join(dir, "none")}, fs.ErrNotExist},
		"a file for all":            {forward.Destination{Target: target, HeadersFile: file("open", "X-Token=hidden", 0o644)}, credential.ErrFile},
		"a file without headers":    {forward.Destination{Target: target, HeadersFile: file("empty", "\n", 0o600)}, nil},
		"a file with a mistake":     {forward.Destination{Target: target, HeadersFile: file("bad", "X-Token=hidden\nX-More=hidden", 0o600)}, forward.ErrHeaders},
		"authorities without TLS":   {forward.Destination{Target: "otlp+http://127.0.0.1:1", CAFile: "/hidden"}, forward.ErrCA},
		"no authorities":            {forward.Destination{Target: target, CAFile: file("ca", "hidden", 0o600)}, authority.ErrNone},
	} {
		_, err := forward.New(forward.Config{Destination: c.Destination})
		if err == nil || c.want != nil && !errors.Is(err, c.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
