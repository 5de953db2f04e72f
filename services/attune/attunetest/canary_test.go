package attunetest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// canaryModes are the ways in which the programs end.
var canaryModes = map[string]streams.Status{
	"ok": streams.Succeeded, "print": streams.Succeeded, "fail": streams.Failed, "timeout": streams.TimedOut, "crash": streams.Failed,
}

// hunt is one installation whose secrets are looked for.
type hunt struct {
	t    *testing.T
	in   *attunetest.Instance
	c    *client.Client
	http *http.Client
	needles
	values map[string]string

	mu   sync.Mutex // guards the fields below
	live bytes.Buffer
	envs int // environments of programs that were seen
}

// Secrets that are declared, sealed from a client's parameters, referred to by a rule, by a client and by a configuration
// go through programs of every runtime that succeed, print them, fail, time out and crash. Then they are looked for, in
// every form, in everything that Attune wrote, sent or showed, and in what ps shows while it runs.
func TestSecretsAreNowhereButInThePrograms(t *testing.T) {
	t.Parallel()
	h := &hunt{t: t, values: map[string]string{}}
	for _, name := range []string{"CANARY_DECLARED", "CANARY_RULE", "CANARY_CONFIG", "sealed"} {
		h.values[name] = `c4&"` + "é" + rand.Text()[:20] + `/+` + rand.Text()[:20]
	}
	h.needles = needlesOf(t, h.values)
	root := canaryRoot(t)
	dir, actions := canaryPack(t, root)
	o := attunetest.Options{Env: []string{"ATTUNE_LOG_LEVEL=debug"}}
	if root != "" {
		o.AllRuntimes, o.Env = true, append(o.Env, "ATTUNE_ROOTFS_DIRS="+filepath.Dir(root), attunetest.WithoutRuntimes(t, "bun", "deno", "ruby", "perl", "php"))
	}
	h.in = attunetest.Start(t, o)
	h.c = h.in.Client()
	transport := &http.Transport{}
	h.http = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	h.prepare(dir)
	stop := h.watch()
	runs := h.runAll(actions)
	h.prove(runs)
	stop()
	h.look("what was sent, streamed and in /proc meanwhile", h.live.Bytes())
	if h.envs == 0 {
		t.Error("no program was seen in /proc: that they show nothing there proves nothing")
	}
	h.lookAtAPI(runs)
	h.lookAtDatabase()
	h.lookAtStreams()
	h.look("the services' logs", []byte(h.in.Said()))
	h.lookAtFiles(h.in.Dir, filepath.Join(h.in.Dir+".config"))
}

// look fails when a canary is there.
func (h *hunt) look(where string, text []byte) {
	h.t.Helper()
	if len(text) == 0 {
		h.t.Errorf("%s: nothing is there to look at", where)
	}
	if found := h.found(text); found != nil {
		slices.Sort(found)
		h.t.Errorf("%s: %s", where, strings.Join(found, ", "))
	}
}

func (h *hunt) prepare(dir string) {
	h.t.Helper()
	for _, name := range []string{"CANARY_DECLARED", "CANARY_RULE", "CANARY_CONFIG"} {
		if _, err := h.c.SetSecret(h.t.Context(), name, h.values[name]); err != nil {
			h.t.Fatal(err)
		}
	}
	h.command("pack", "install", dir)
	h.command("pack", "config", "set", "canary", "token=@secret:CANARY_CONFIG")
}

// command runs a client command, which must not show a secret either.
func (h *hunt) command(args ...string) {
	h.t.Helper()
	out := h.in.Run(args...)
	if out.Code != 0 {
		h.t.Fatalf("%v: %d\n%s%s", args, out.Code, out.Stdout, out.Stderr)
	}
	h.look(strings.Join(args, " "), []byte(out.Stdout+out.Stderr+" "))
}

// watch gathers what is sent and shown while programs run.
func (h *hunt) watch() (stop func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	sub, err := h.bus().Conn.Subscribe(">", func(m *nats.Msg) { h.note([]byte(m.Subject), []byte(fmt.Sprint(m.Header)), m.Data) })
	if err != nil {
		h.t.Fatal(err)
	}
	for _, path := range []string{"/executions/stream", "/events/stream"} {
		resp := h.request(ctx, h.in.APIURL+"/api/v1"+path)
		wg.Go(func() {
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body) // ends with ctx
			h.note(text)
		})
	}
	wg.Go(func() { h.sample(ctx) })
	return func() {
		_ = sub.Unsubscribe() // the connection is closed next
		cancel()
		wg.Wait()
	}
}

func (h *hunt) note(texts ...[]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, text := range texts {
		h.live.Write(text)
		h.live.WriteByte('\n')
	}
}

// sample reads what every process shows of itself, as root where the test is: nobody sees more.
func (h *hunt) sample(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	seen := map[string]bool{}
	for ctx.Err() == nil {
		files, _ := filepath.Glob("/proc/[0-9]*/[ec][nm][vd][il][ri]*") // environ, cmdline
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil || seen[string(text)] {
				continue
			}
			seen[string(text)] = true
			if bytes.Contains(text, []byte("ATTUNE_ACTION=canary.")) {
				h.mu.Lock()
				h.envs++
				h.mu.Unlock()
			}
			h.note(text)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
