package packs_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { attunetest.Main(m) }

// secret is what the deliveries of this test are signed with.
const secret = "a long random text"

// github is an instance with the pack github, and what was delivered to it.
type github struct {
	*attunetest.Instance
	api       *client.Client
	delivered []delivery
}

// delivery is a recorded webhook that was delivered, and the event that became of it.
type delivery struct {
	kind    string
	payload []byte
	id      string // X-GitHub-Delivery
	event   string
}

// Every recorded webhook of the kinds that the pack knows goes through the running system, signed. What the
// rules decided and what ran is compared with what this test finds in the payload by itself.
func TestRecordedWebhooksOfGitHubAreDecidedAndActedUpon(t *testing.T) {
	t.Parallel()
	g := startGitHub(t)
	for kind, payloads := range recorded(t) {
		for _, p := range payloads {
			d := delivery{kind: kind, payload: p, id: uuid.NewString()}
			d.event = g.deliver(t, d)
			g.delivered = append(g.delivered, d)
		}
	}
	want := map[string]int{}
	for _, d := range g.delivered {
		want[g.check(t, d)]++
	}
	g.checkCounts(t, want)
	g.checkRepeats(t)
	g.checkDeployments(t)
	g.checkStrangers(t)
}

func startGitHub(t *testing.T) *github {
	t.Helper()
	g := &github{Instance: attunetest.Start(t, attunetest.Options{})}
	if out := g.Run("pack", "install", filepath.Join("examples", "github")); out.Code != 0 {
		t.Fatalf("pack install: %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	g.api = g.Client()
	if _, err := g.api.SetSecret(t.Context(), "GITHUB_WEBHOOK_SECRET", secret); err != nil {
		t.Fatal(err)
	}
	return g
}

// recorded gives the payloads by the kind of webhook.
func recorded(t *testing.T) map[string][]json.RawMessage {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "octokit", "payloads.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string][]json.RawMessage
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		t.Fatal(err)
	}
	if n := len(slices.Concat(slices.Collect(maps.Values(all))...)); len(all) != 5 || n < 80 {
		t.Fatalf("%d payloads of %d kinds", n, len(all))
	}
	return all
}

// deliver does what GitHub does, and gives the event's id.
func (g *github) deliver(t *testing.T, d delivery) string {
	t.Helper()
	status, answer := g.post(t, d, secret)
	if status != http.StatusAccepted || answer.ID == "" {
		t.Fatalf("delivery of %s: status %d, event %q", d.kind, status, answer.ID)
	}
	return answer.ID
}

func (g *github) post(t *testing.T, d delivery, key string) (int, api.DeliveryAccepted) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.APIURL+"/api/v1/webhooks/github/"+d.kind, bytes.NewReader(d.payload))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(d.payload)
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("X-GitHub-Delivery", d.id)
	req.Header.Set("X-GitHub-Event", d.kind)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "GitHub-Hookshot/test")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer api.DeliveryAccepted
	if res.StatusCode < 300 {
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatal(err)
		}
	}
	return res.StatusCode, answer
}

// decided waits until history knows what the rules decided about an event.
func (g *github) decided(t *testing.T, id string) api.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), attunetest.Patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		e, err := g.api.Event(ctx, id)
		if err == nil && e.Status != streams.EventReceived {
			return e
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("event %s is not decided: %+v, %v", id, e, err)
		}
	}
}

// check compares one delivery with what was to become of it, and gives the action that ran, or "".
func (g *github) check(t *testing.T, d delivery) (ran string) {
	t.Helper()
	p := parse(t, d)
	e := g.decided(t, d.event)
	if e.Status != streams.EventDecided {
		t.Errorf("%s: event %s is %s: %s", p.name(), e.ID, e.Status, e.Reason)
		return ""
	}
	want := p.wanted()
	if len(e.Decisions) != len(want) {
		t.Errorf("%s: %d rules decided, want %d: %+v", p.name(), len(e.Decisions), len(want), e.Decisions)
	}
	for _, got := range e.Decisions {
		w := want[got.Rule]
		switch {
		case w.action == "" && (got.Outcome != streams.NotMatched || !strings.Contains(got.Reason, w.because)):
			t.Errorf("%s: %s is %s because %q, want not_matched because of %s", p.name(), got.Rule, got.Outcome, got.Reason, w.because)
		case w.action != "" && (got.Outcome != streams.Matched || got.Action != w.action):
			t.Errorf("%s: %s is %s for %q (%s), want matched for %s", p.name(), got.Rule, got.Outcome, got.Action, got.Reason, w.action)
		case w.action != "":
			ran = w.action
			g.checkExecution(t, p, e, got)
		}
	}
	return ran
}

func (g *github) checkExecution(t *testing.T, p payload, e api.Event, d api.Decision) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), attunetest.Patience)
	defer cancel()
	x, err := g.api.Wait(ctx, d.Execution, nil)
	if err != nil {
		t.Fatalf("%s: execution %s: %v", p.name(), d.Execution, err)
	}
	var out, errs strings.Builder
	for stream, w := range map[string]io.Writer{"stdout": &out, "stderr": &errs} {
		if _, err := g.api.Logs(ctx, client.Log{Execution: x.ID, Stream: stream}, w); err != nil {
			t.Fatalf("%s: %s of %s: %v", p.name(), stream, d.Action, err)
		}
	}
	if x.Status != streams.Succeeded || x.Action != d.Action || x.Rule != d.Rule || x.Event != e.ID {
		t.Errorf("%s: %s of %s for %s ended as %s (%v)\n%s", p.name(), x.Action, x.Rule, x.Event, x.Status, x.Error, errs.String())
		return
	}
	p.checkOutcome(t, x, out.String())
}

// checkCounts makes sure that nothing else ran.
func (g *github) checkCounts(t *testing.T, want map[string]int) {
	t.Helper()
	all, more, err := g.api.Executions(t.Context(), client.Filter{}, 0)
	if err != nil || more {
		t.Fatalf("list executions: more %v, %v", more, err)
	}
	got := map[string]int{}
	for _, x := range all {
		got[x.Action]++
	}
	delete(want, "")
	if !maps.Equal(got, want) {
		t.Errorf("executions by action: %v, want %v", got, want)
	}
	for _, action := range []string{"github.triage", "github.size", "github.notes", "github.announce", "github.deploy"} {
		if want[action] == 0 {
			t.Errorf("the payloads do not try %s", action)
		}
	}
}

// checkRepeats delivers everything again: GitHub does so when it got no answer, and people by a button.
func (g *github) checkRepeats(t *testing.T) {
	t.Helper()
	for _, d := range g.delivered {
		if again := g.deliver(t, d); again != d.event {
			t.Errorf("%s delivered again is event %s, was %s", d.kind, again, d.event)
		}
	}
	for kind := range recorded(t) {
		events, _, err := g.api.Events(t.Context(), client.Filter{"trigger": "github." + kind}, 0)
		want := len(slices.DeleteFunc(slices.Clone(g.delivered), func(d delivery) bool { return d.kind != kind }))
		if err != nil || len(events) != want {
			t.Errorf("%d events of %s, want %d (%v)", len(events), kind, want, err)
		}
	}
}

// checkDeployments makes sure that deployments of one repository ran in order of request and one at a time.
func (g *github) checkDeployments(t *testing.T) {
	t.Helper()
	var requested []string
	running := map[string]string{}
	facts := attunetest.AwaitFacts(t, g.Bus(), "github.deploy", attunetest.Ended(2))
	for _, f := range facts {
		switch f.Status {
		case streams.Requested:
			requested = append(requested, f.ID)
		case streams.Running:
			if other := running[f.Key]; other != "" {
				t.Errorf("deployment %s of %s started while %s ran", f.ID, f.Key, other)
			}
			if f.ID != requested[0] {
				t.Errorf("deployment %s started before %s", f.ID, requested[0])
			}
			running[f.Key], requested = f.ID, requested[1:]
		default:
			delete(running, f.Key)
		}
	}
}

// checkStrangers delivers what must not become work: other senders' webhooks, and other kinds.
func (g *github) checkStrangers(t *testing.T) {
	t.Helper()
	d := g.delivered[0]
	d.id = uuid.NewString()
	if status, _ := g.post(t, d, "another text"); status != http.StatusUnauthorized {
		t.Errorf("a wrong signature is answered with %d, want 401", status)
	}
	for kind := range recorded(t) {
		if kind == d.kind {
			continue
		}
		other := delivery{kind: kind, payload: d.payload, id: uuid.NewString()}
		if e := g.decided(t, g.deliver(t, other)); e.Status != streams.EventRejected || !strings.Contains(e.Reason, "schema") {
			t.Errorf("a webhook %s sent as %s is %s (%s), want rejected by the schema", d.kind, kind, e.Status, e.Reason)
		}
	}
}
