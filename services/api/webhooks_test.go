package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/streams"
)

const (
	hookSecret = "a secret of a webhook"
	issue      = `{"action":"opened","issue":{"number":1}}`
)

func signed(body string) string {
	h := hmac.New(sha256.New, []byte(hookSecret))
	h.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(h.Sum(nil))
}

// deliver sends a webhook without the token, as senders do.
func (f *fixture) deliver(trigger, body string, headers ...string) answer {
	f.t.Helper()
	return f.send(http.MethodPost, "/api/v1/webhooks/demo/"+trigger, body, headers...)
}

func newHooks(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	if _, err := f.secrets.Put(t.Context(), secret.Global, "GH", []byte(hookSecret), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestADeliveryAHundredTimesAtOnceIsOneEvent(t *testing.T) {
	t.Parallel()
	f := newHooks(t)
	for trigger, headers := range map[string][]string{
		"github": {"X-GitHub-Delivery", "d1", "X-GitHub-Event", "issues", "X-Hub-Signature-256", signed(issue)},
		"signed": {"X-Signature-256", signed(issue)}, // told apart by its body
	} {
		before := f.count(streams.Events)
		ids := make(chan string, 100)
		var wg sync.WaitGroup
		for range cap(ids) {
			wg.Go(func() {
				ids <- want[wire.DeliveryAccepted](f.deliver(trigger, issue, headers...), http.StatusAccepted).ID
			})
		}
		wg.Wait()
		first := <-ids
		for range cap(ids) - 1 {
			if id := <-ids; id != first || id == "" {
				t.Errorf("%s: id %q, want %q", trigger, id, first)
			}
		}
		if n := f.count(streams.Events) - before; n != 1 {
			t.Errorf("%s: %d events, want 1", trigger, n)
		}
	}
}

func TestADeliveryIDIsUsedOnceAlsoWhenTheStreamHasForgotten(t *testing.T) {
	t.Parallel()
	f := newHooks(t)
	f.withRecorder()
	headers := []string{"X-GitHub-Delivery", "d1", "X-Hub-Signature-256", signed(issue)}
	first := want[wire.DeliveryAccepted](f.deliver("github", issue, headers...), http.StatusAccepted).ID
	f.eventually("history has it", func() bool {
		return len(want[wire.Page[wire.Event]](f.get("/api/v1/events"), http.StatusOK).Items) == 1
	})
	f.purge(streams.Events)
	again := want[wire.DeliveryAccepted](f.deliver("github", issue, headers...), http.StatusAccepted).ID
	if again != first || f.count(streams.Events) != 0 {
		t.Errorf("again %s, first %s, %d events", again, first, f.count(streams.Events))
	}
	other := want[wire.DeliveryAccepted](f.deliver("github", issue, "X-GitHub-Delivery", "d2", "X-Hub-Signature-256", signed(issue)), http.StatusAccepted).ID
	if other == first {
		t.Error("another delivery of the same body is the same event")
	}
}

func TestDeliveriesThatProveNothingAreRefused(t *testing.T) {
	t.Parallel()
	f := newHooks(t)
	for name, c := range map[string]struct {
		trigger string
		headers []string
		status  int
		code    string
	}{
		"no signature":          {"github", nil, 401, wire.CodeBadSignature},
		"another body's":        {"github", []string{"X-Hub-Signature-256", signed("{}")}, 401, wire.CodeBadSignature},
		"two signatures":        {"github", []string{"X-Hub-Signature-256", signed(issue), "X-Hub-Signature-256", signed(issue)}, 401, wire.CodeBadSignature},
		"the old algorithm":     {"github", []string{"X-Hub-Signature", "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"}, 401, wire.CodeBadSignature},
		"the API's token":       {"github", []string{"Authorization", "Bearer " + token}, 401, wire.CodeBadSignature},
		"the wrong bearer":      {"bearer", []string{"Authorization", "Bearer " + token}, 401, wire.CodeBadSignature},
		"a secret not set":      {"unset", []string{"Authorization", "Bearer "}, 403, wire.CodeWebhookClosed},
		"none, but not allowed": {"closed", nil, 403, wire.CodeWebhookClosed},
		"a trigger without":     {"note", nil, 404, wire.CodeNotFound},
		"no such trigger":       {"nope", nil, 404, wire.CodeNotFound},
	} {
		t.Log(name)
		p := f.deliver(c.trigger, issue, c.headers...).refused(c.status, c.code)
		if strings.Contains(p.Detail, hookSecret) {
			t.Errorf("%s: the secret is in the answer", name)
		}
	}
	if n := f.count(streams.Events); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}

func TestDeliveriesMayComeInSeveralForms(t *testing.T) {
	t.Parallel()
	f := newHooks(t)
	form := url.Values{"payload": {issue}}.Encode()
	want[wire.DeliveryAccepted](f.deliver("github", form, "Content-Type", "application/x-www-form-urlencoded",
		"X-GitHub-Delivery", "d1", "X-Hub-Signature-256", signed(form)), http.StatusAccepted)
	want[wire.DeliveryAccepted](f.deliver("bearer", "", "Authorization", "Bearer "+hookSecret), http.StatusAccepted)
	want[wire.DeliveryAccepted](f.deliver("open", `[1,2]`, "Content-Type", "application/vnd.x+json; charset=utf-8"), http.StatusAccepted)
	if n := f.count(streams.Events); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
	ping := want[wire.DeliveryAccepted](f.deliver("github", issue, "X-GitHub-Event", "ping", "X-Hub-Signature-256", signed(issue)), http.StatusOK)
	if ping.ID != "" || f.count(streams.Events) != 3 {
		t.Errorf("a ping is %+v and %d events", ping, f.count(streams.Events))
	}
}

func TestDeliveriesThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	f := newHooks(t)
	for name, c := range map[string]struct {
		media, body string
		status      int
		code        string
	}{
		"no JSON":               {"application/json", `{"a":`, 400, wire.CodeInvalidJSON},
		"a key twice":           {"application/json", `{"a":1,"a":2}`, 400, wire.CodeInvalidJSON},
		"two documents":         {"application/json", `{}{}`, 400, wire.CodeInvalidJSON},
		"XML":                   {"application/xml", `<a/>`, 415, wire.CodeUnsupportedMedia},
		"no media type at all":  {"; ; ", `{}`, 415, wire.CodeUnsupportedMedia},
		"a form without":        {"application/x-www-form-urlencoded", `a=b`, 400, wire.CodeInvalidPayload},
		"a form with two":       {"application/x-www-form-urlencoded", `payload={}&payload={}`, 400, wire.CodeInvalidPayload},
		"a byte over the limit": {"application/json", `"` + strings.Repeat("x", 1<<20-1) + `"`, 413, wire.CodeTooLarge},
	} {
		t.Log(name)
		f.deliver("open", c.body, "Content-Type", c.media).refused(c.status, c.code)
	}
	f.deliver("open", "{}", "Content-Encoding", "gzip").refused(http.StatusUnsupportedMediaType, wire.CodeUnsupportedMedia)
	want[wire.DeliveryAccepted](f.deliver("open", `"`+strings.Repeat("x", 1<<20-2)+`"`), http.StatusAccepted)
	if n := f.count(streams.Events); n != 1 {
		t.Errorf("%d events, want the one of exactly 1 MiB", n)
	}
}

func TestAnEventThatDoesNotFitIsTakenFromAWebhookAndRecorded(t *testing.T) {
	t.Parallel()
	f := newHooks(t)
	f.define(packWithStrictHook())
	f.eventually("the trigger is known", func() bool { return f.get("/api/v1/triggers/strict.hook").status == http.StatusOK })
	f.withRules()
	id := want[wire.DeliveryAccepted](f.send(http.MethodPost, "/api/v1/webhooks/strict/hook", `{}`), http.StatusAccepted).ID
	f.eventually("it is rejected", func() bool {
		e := want[wire.Event](f.get("/api/v1/events/"+id), http.StatusOK)
		return e.Status == streams.EventRejected && strings.Contains(e.Reason, "host")
	})
}

func proof(text string) string {
	h := hmac.New(sha256.New, []byte(hookSecret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

func stripeHeader(at time.Time, body string) []string {
	return []string{"Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", at.Unix(), proof(fmt.Sprintf("%d.%s", at.Unix(), body)))}
}

func slackHeader(at time.Time, body string) []string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return []string{"X-Slack-Request-Timestamp", stamp, "X-Slack-Signature", "v0=" + proof("v0:"+stamp+":"+body)}
}

// Each sender's own way to name a delivery tells repeated ones from others.
func TestDeliveriesOfEverySenderAreTakenOnce(t *testing.T) {
	t.Parallel()
	f := newHooks(t)
	now := time.Now()
	paid, other := `{"id":"evt_1","type":"charge"}`, `{"id":"evt_2","type":"charge"}`
	said := `{"type":"event_callback","event_id":"Ev1"}`
	command := "command=%2Fdeploy&text=web&trigger_id=1"
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	for _, c := range []struct {
		trigger, body string
		headers       []string
		events        int
	}{
		{"gitlab", issue, []string{"X-Gitlab-Token", hookSecret, "Idempotency-Key", "k1"}, 1},
		{"gitlab", issue, []string{"X-Gitlab-Token", hookSecret, "Idempotency-Key", "k1"}, 0},
		{"gitlab", issue, []string{"X-Gitlab-Token", hookSecret, "Idempotency-Key", "k2"}, 1},
		{"stripe", paid, stripeHeader(now, paid), 1},
		{"stripe", paid, stripeHeader(now.Add(-time.Minute), paid), 0}, // sent again later
		{"stripe", other, stripeHeader(now, other), 1},
		{"slack", said, slackHeader(now, said), 1},
		{"slack", said, append(slackHeader(now.Add(-time.Second), said), "X-Slack-Retry-Num", "1"), 0},
		{"slack", command, append(slackHeader(now, command), form...), 1},
		{"slack", command, append(slackHeader(now, command), form...), 0},
	} {
		before := f.count(streams.Events)
		id := want[wire.DeliveryAccepted](f.deliver(c.trigger, c.body, c.headers...), http.StatusAccepted).ID
		if n := f.count(streams.Events) - before; int(n) != c.events || id == "" {
			t.Errorf("%s %s: %d events, want %d", c.trigger, c.body, n, c.events)
		}
	}
	hello := `{"type":"url_verification","challenge":"c1"}`
	if answer := want[wire.DeliveryAccepted](f.deliver("slack", hello, slackHeader(now, hello)...), http.StatusOK); answer.Challenge != "c1" || answer.ID != "" {
		t.Errorf("Slack is answered %+v", answer)
	}
	f.deliver("slack", hello).refused(http.StatusUnauthorized, wire.CodeBadSignature)
	late := now.Add(-6 * time.Minute)
	f.deliver("stripe", paid, stripeHeader(late, paid)...).refused(http.StatusUnauthorized, wire.CodeBadSignature)
	twice := "command=a&command=b"
	f.deliver("slack", twice, append(slackHeader(now, twice), form...)...).refused(http.StatusBadRequest, wire.CodeInvalidPayload)
}

// While a secret is changed the old and the new one hold, and none that was taken away.
func TestAWebhooksSecretIsChangedWithoutRefusingAnybody(t *testing.T) {
	t.Parallel()
	f := newHooks(t)
	deliver := func(secret, key string) answer {
		return f.deliver("gitlab", issue, "X-Gitlab-Token", secret, "Idempotency-Key", key)
	}
	want[wire.DeliveryAccepted](deliver(hookSecret, "a"), http.StatusAccepted)
	deliver("the next one", "b").refused(http.StatusUnauthorized, wire.CodeBadSignature)
	if _, err := f.secrets.Put(t.Context(), secret.Global, "NEXT", []byte("the next one"), 0); err != nil {
		t.Fatal(err)
	}
	want[wire.DeliveryAccepted](deliver(hookSecret, "c"), http.StatusAccepted)
	want[wire.DeliveryAccepted](deliver("the next one", "d"), http.StatusAccepted)
	if err := f.secrets.Delete(t.Context(), secret.Global, "GH"); err != nil {
		t.Fatal(err)
	}
	deliver(hookSecret, "e").refused(http.StatusUnauthorized, wire.CodeBadSignature)
	want[wire.DeliveryAccepted](deliver("the next one", "f"), http.StatusAccepted)
}
