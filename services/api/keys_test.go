package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// Parameters without a queue of their own are refused, and whoever sent them learns which expression failed.
func TestAKeyThatCannotBeComputedIsNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, body := range []string{
		`{"action":"demo.deploy","parameters":{}}`, `{"action":"demo.deploy","parameters":{"repo":["a"]}}`,
		`{"action":"demo.deploy","parameters":{"repo":"` + strings.Repeat("x", 16<<10+1) + `"}}`,
	} {
		p := f.post("/api/v1/executions", body).refused(http.StatusBadRequest, wire.CodeInvalidParameters, "parameters")
		if !strings.Contains(p.Detail, "params.repo") {
			t.Errorf("%.60s: detail %q does not name the expression", body, p.Detail)
		}
	}
	if n := f.count(streams.Queue); n != 0 {
		t.Errorf("%d in the queue, want none", n)
	}
}

// Keys are any text: what subjects cannot hold is encoded there, and shown as it was given.
func TestLongAndOddKeysStandInLineAsGiven(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s, err := f.bus.JS.Stream(t.Context(), streams.Queue)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{strings.Repeat("0123456789", 1000), strings.Repeat("k", 16<<10), "a.b.*.>", "zwei Wörter", "_", "~x", "=x"} {
		want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.deploy","parameters":{"repo":"`+key+`"}}`), http.StatusAccepted)
		m, err := s.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		q, err := execution.ParseQueued(m.Subject, m.Header)
		if err != nil || q.Key != key || len(m.Subject) > 300 {
			t.Errorf("%.40q of %d bytes stands as %.40q in %s, %v", key, len(key), q.Key, m.Subject, err)
		}
	}
}

// A key of any text, as long as keys may be, finds its line.
func TestALineIsFoundByALongKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScheduler()
	for _, key := range []string{strings.Repeat("k", wire.MaxKey), strings.Repeat("€", wire.MaxKey/3), "?&=#%/ +\t"} {
		body, err := json.Marshal(map[string]any{"action": "demo.deploy", "parameters": map[string]string{"repo": key}})
		if err != nil {
			t.Fatal(err)
		}
		want[wire.ExecutionAccepted](f.post("/api/v1/executions", string(body)), http.StatusAccepted)
		q := want[wire.Queue](f.get("/api/v1/queues/demo.deploy?key="+url.QueryEscape(key)), http.StatusOK)
		if q.Key != key || len(q.Entries) != 1 || q.Entries[0].Key != key {
			t.Errorf("%.20q: %d entries", key, len(q.Entries))
		}
	}
	long := url.QueryEscape(strings.Repeat("€", wire.MaxKey/3) + "xy")
	f.get("/api/v1/queues/demo.deploy?key="+long).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "key")
}
