package attunetest_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/attune/attune/services/attune/attunetest"
)

// receiver takes OpenTelemetry logs from who has its token.
type receiver struct {
	*httptest.Server

	mu    sync.Mutex // guards the fields below
	token string
	lines []string // whose they are and what they say: "action=p.a stdout hello"
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewTLSServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Header.Get("Authorization") != "Bearer "+r.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var data logspb.LogsData
	body, err := io.ReadAll(req.Body)
	if err = errors.Join(err, proto.Unmarshal(body, &data)); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	for _, l := range data.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords() {
		var of, stream string
		for _, a := range l.GetAttributes() {
			switch key := a.GetKey(); key {
			case "attune.action", "attune.sensor", "attune.pack":
				of += strings.TrimPrefix(key, "attune.") + "=" + a.GetValue().GetStringValue()
			case "log.iostream":
				stream = a.GetValue().GetStringValue()
			}
		}
		r.lines = append(r.lines, of+" "+stream+" "+l.GetBody().GetStringValue())
	}
}

func (r *receiver) want(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.token = token
}

// await waits for as many lines as that.
func (r *receiver) await(t *testing.T, line string, n int) {
	t.Helper()
	give, tick := time.After(attunetest.Patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		r.mu.Lock()
		lines := slices.Clone(r.lines)
		r.mu.Unlock()
		if found := len(slices.DeleteFunc(slices.Clone(lines), func(s string) bool { return s != line })); found >= n {
			return
		}
		select {
		case <-give:
			t.Fatalf("%q did not come %d times; there are\n%s", line, n, strings.Join(lines, "\n"))
		case <-tick.C:
		}
	}
}

// Output reaches a receiver that wants a token, also when it is another one after a while, and says of which action,
// sensor or pack it is.
func TestOutputIsForwardedToAReceiverThatWantsAToken(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	r.want("hidden1")
	dir := attunetest.DataDir(t)
	put := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(name+".new", []byte(text), 0o600), os.Rename(name+".new", name)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	in := attunetest.Start(t, attunetest.Options{Env: []string{
		"ATTUNE_LOG_FORWARD=otlp+" + r.URL, "ATTUNE_LOG_FORWARD_HEADERS_FILE=" + put("headers", "Authorization=Bearer%20hidden1\n"),
		"ATTUNE_LOG_FORWARD_CA=" + put("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))),
	}})
	if out := in.Run("pack", "install", attunetest.Pack(t, map[string]string{
		"pack.yaml":            "name: door\nversion: 1.0.0\ndescription: For tests.\n",
		"triggers/opened.yaml": "description: For tests.\n", "rules/opened.yaml": "trigger: opened\naction: act\n",
		"sensors/watch.yaml": "description: For tests.\nruntime: shell\nentry_point: watch.sh\ntriggers: [opened]\n", "sensors/watch.sh": "echo looking >&2\nexec sleep 1000\n",
		"actions/act.yaml": "description: For tests.\nruntime: shell\nentry_point: act.sh\nretry: {attempts: 2, delay: 10ms}\n",
		"actions/act.sh":   "echo trying\nexit 1\n",
	})); out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	act := func() {
		t.Helper()
		if out := in.Run("run", "door.act", "--wait"); out.Code != 1 {
			t.Fatalf("%+v", out)
		}
	}
	act()
	r.await(t, "action=door.act stdout trying", 2) // attempts
	r.await(t, "sensor=door.watch stderr looking", 1)
	r.await(t, "pack=door stdout attune: fetch and unpack", 1)
	r.want("hidden2")
	act()
	in.AwaitLine(`401 Unauthorized: (it does not accept the credentials)`)
	put("headers", "Authorization=Bearer%20hidden2\n")
	r.await(t, "action=door.act stdout trying", 4)
	if strings.Contains(in.Said(), "hidden") {
		t.Error("a token is shown")
	}
}
