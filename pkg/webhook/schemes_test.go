package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/webhook"
)

// The example of Slack's documentation, "Verifying requests from Slack".
const (
	slackSecret = "8f742231b10e8888abcd99yyyzzz85a5"
	slackProof  = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
	slackAt     = 1531420618
	slackBody   = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)

// The vector that the Standard Webhooks libraries publish.
const (
	vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorAt     = 1614265330
	vectorBody   = `{"test": 2432232314}`
	vectorProof  = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func mac(secret []byte, text string) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

func stripe(secret []byte, at time.Time) string {
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), mac(secret, fmt.Sprintf("%d.%s", at.Unix(), body)))
}

func slack(secret []byte, at time.Time) http.Header {
	return header("X-Slack-Request-Timestamp", fmt.Sprint(at.Unix()), "X-Slack-Signature", "v0="+mac(secret, fmt.Sprintf("v0:%d:%s", at.Unix(), body)))
}

func standardHeader(id string, at time.Time, proof string) http.Header {
	return header("webhook-id", id, "webhook-timestamp", fmt.Sprint(at.Unix()), "webhook-signature", proof)
}

func TestSchemesOfSenders(t *testing.T) {
	t.Parallel()
	old, future := now.Add(-6*time.Minute), now.Add(6*time.Minute)
	good := stripe(secret, now)
	v1 := good[strings.Index(good, "v1="):]
	slackTwice := slack(secret, now)
	slackTwice.Add("X-Slack-Signature", slackTwice.Get("X-Slack-Signature"))
	slackMoved := slack(secret, now)
	slackMoved.Set("X-Slack-Request-Timestamp", fmt.Sprint(now.Unix()-1))
	gitlabBoth := standardHeader("m", now, standard(secret, "m", now, body))
	gitlabBoth.Set("X-Gitlab-Token", "another")
	gitlabForged := standardHeader("m", now, standard([]byte("x"), "m", now, body))
	gitlabForged.Set("X-Gitlab-Token", string(secret))
	cases := []struct {
		name, scheme string
		header       http.Header
		want         error
	}{
		{"gitlab's token", "gitlab", header("X-Gitlab-Token", string(secret)), nil},
		{"gitlab's token, wrong", "gitlab", header("X-Gitlab-Token", "nope"), webhook.ErrRefused},
		{"gitlab's token, empty", "gitlab", header("X-Gitlab-Token", ""), webhook.ErrRefused},
		{"gitlab's token, missing", "gitlab", header(), webhook.ErrRefused},
		{"gitlab's token, twice", "gitlab", header("X-Gitlab-Token", string(secret), "X-Gitlab-Token", "x"), webhook.ErrRefused},
		{"gitlab's signature", "gitlab", standardHeader("m", now, standard(secret, "m", now, body)), nil},
		{"gitlab's signature beside another token", "gitlab", gitlabBoth, nil},
		{"gitlab's signature, wrong beside the right token", "gitlab", gitlabForged, webhook.ErrRefused},
		{"gitlab's signature, old", "gitlab", standardHeader("m", old, standard(secret, "m", old, body)), webhook.ErrRefused},

		{"stripe", "stripe", header("Stripe-Signature", good), nil},
		{"stripe while keys change", "stripe", header("Stripe-Signature", good+",v1="+strings.Repeat("0", 64)), nil},
		{"stripe with the right one last", "stripe", header("Stripe-Signature", strings.Replace(good, "v1=", "v1="+strings.Repeat("0", 64)+",v1=", 1)), nil},
		{"stripe with one of another version", "stripe", header("Stripe-Signature", good+",v0=abc"), nil},
		{"stripe, old", "stripe", header("Stripe-Signature", stripe(secret, old)), webhook.ErrRefused},
		{"stripe, future", "stripe", header("Stripe-Signature", stripe(secret, future)), webhook.ErrRefused},
		{"stripe, another secret's", "stripe", header("Stripe-Signature", stripe([]byte("x"), now)), webhook.ErrRefused},
		{"stripe, moved in time", "stripe", header("Stripe-Signature", fmt.Sprintf("t=%d,%s", now.Unix()-1, v1)), webhook.ErrRefused},
		{"stripe, two times", "stripe", header("Stripe-Signature", fmt.Sprintf("t=%d,%s", now.Unix()-1, good)), webhook.ErrRefused},
		{"stripe, no time", "stripe", header("Stripe-Signature", v1), webhook.ErrRefused},
		{"stripe, only another version", "stripe", header("Stripe-Signature", strings.Replace(good, "v1=", "v0=", 1)), webhook.ErrRefused},
		{"stripe, cut", "stripe", header("Stripe-Signature", good[:40]), webhook.ErrRefused},
		{"stripe, twice", "stripe", header("Stripe-Signature", good, "Stripe-Signature", good), webhook.ErrRefused},
		{"stripe, missing", "stripe", header(), webhook.ErrRefused},
		{"stripe, a time with a sign", "stripe", header("Stripe-Signature", fmt.Sprintf("t=+%d,v1=%s", now.Unix(), mac(secret, fmt.Sprintf("+%d.%s", now.Unix(), body)))), webhook.ErrRefused},
		{"stripe, very many", "stripe", header("Stripe-Signature", good+strings.Repeat(","+v1, 100)), webhook.ErrRefused},

		{"slack", "slack", slack(secret, now), nil},
		{"slack, old", "slack", slack(secret, old), webhook.ErrRefused},
		{"slack, future", "slack", slack(secret, future), webhook.ErrRefused},
		{"slack, another secret's", "slack", slack([]byte("x"), now), webhook.ErrRefused},
		{"slack, moved in time", "slack", slackMoved, webhook.ErrRefused},
		{"slack, twice", "slack", slackTwice, webhook.ErrRefused},
		{"slack, no time", "slack", header("X-Slack-Signature", slackProof), webhook.ErrRefused},
		{"slack, another version", "slack", header("X-Slack-Request-Timestamp", fmt.Sprint(now.Unix()), "X-Slack-Signature", "v1"+slackProof[2:]), webhook.ErrRefused},
		{"slack, missing", "slack", header(), webhook.ErrRefused},

		{"standard", "standard-webhooks", standardHeader("m", now, standard(secret, "m", now, body)), nil},
		{"standard, the body's signature only", "standard-webhooks", header("X-Signature-256", sign(secret, body)), webhook.ErrRefused},
		{"standard, an empty id", "standard-webhooks", standardHeader("", now, standard(secret, "", now, body)), webhook.ErrRefused},
		{"standard, future", "standard-webhooks", standardHeader("m", future, standard(secret, "m", future, body)), webhook.ErrRefused},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := webhook.Delivery{Header: c.header, Body: body, At: now}
			w := pack.Webhook{Scheme: c.scheme, Secret: "s"}
			if err := webhook.Verify(w, [][]byte{secret}, d); !errors.Is(err, c.want) {
				t.Errorf("Verify gave %v, want %v", err, c.want)
			}
			if err := webhook.Verify(w, nil, d); !errors.Is(err, webhook.ErrMisconfigured) {
				t.Errorf("without a secret Verify gave %v", err)
			}
			if err := webhook.Verify(w, [][]byte{{}, []byte("another")}, d); !errors.Is(err, webhook.ErrRefused) {
				t.Errorf("with another secret Verify gave %v", err)
			}
			if err := webhook.Verify(w, [][]byte{[]byte("new"), {}, secret}, d); !errors.Is(err, c.want) {
				t.Errorf("with a new secret too Verify gave %v, want %v", err, c.want)
			}
		})
	}
}

func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		scheme, secret, body string
		at                   int64
		header               http.Header
	}{
		{"slack", slackSecret, slackBody, slackAt, header("X-Slack-Request-Timestamp", fmt.Sprint(slackAt), "X-Slack-Signature", slackProof)},
		{"standard-webhooks", vectorSecret, vectorBody, vectorAt, standardHeader(vectorID, time.Unix(vectorAt, 0), vectorProof)},
		{"hmac", vectorSecret, vectorBody, vectorAt, standardHeader(vectorID, time.Unix(vectorAt, 0), vectorProof)},
		{"gitlab", vectorSecret, vectorBody, vectorAt, standardHeader(vectorID, time.Unix(vectorAt, 0), vectorProof)},
	}
	for _, c := range cases {
		d := webhook.Delivery{Header: c.header, Body: []byte(c.body), At: time.Unix(c.at, 0)}
		if err := webhook.Verify(pack.Webhook{Scheme: c.scheme}, [][]byte{[]byte(c.secret)}, d); err != nil {
			t.Errorf("%s: %v", c.scheme, err)
		}
		d.Body = append(d.Body, ' ')
		if err := webhook.Verify(pack.Webhook{Scheme: c.scheme}, [][]byte{[]byte(c.secret)}, d); !errors.Is(err, webhook.ErrRefused) {
			t.Errorf("%s with one byte more: %v", c.scheme, err)
		}
	}
}

// What the scheme's own library signs is taken, and what it refuses is not.
func TestStandardWebhooksAgreesWithItsLibrary(t *testing.T) {
	t.Parallel()
	theirs, err := standardwebhooks.NewWebhook(vectorSecret)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	for i, c := range []struct {
		at      time.Time
		mangle  func(http.Header)
		payload string
	}{
		{at, func(http.Header) {}, vectorBody},
		{at, func(http.Header) {}, ""},
		{at, func(h http.Header) { h.Set("Webhook-Signature", "v1,AAAA "+h.Get("Webhook-Signature")) }, vectorBody},
		{at, func(h http.Header) { h.Set("Webhook-Signature", "v2"+h.Get("Webhook-Signature")[2:]) }, vectorBody},
		{at, func(h http.Header) { h.Set("Webhook-Id", "other") }, vectorBody},
		{at.Add(-4 * time.Minute), func(http.Header) {}, vectorBody},
		{at.Add(-6 * time.Minute), func(http.Header) {}, vectorBody},
		{at.Add(6 * time.Minute), func(http.Header) {}, vectorBody},
		{at, func(h http.Header) { h.Del("Webhook-Timestamp") }, vectorBody},
	} {
		proof, err := theirs.Sign(vectorID, c.at, []byte(c.payload))
		if err != nil {
			t.Fatal(err)
		}
		h := standardHeader(vectorID, c.at, proof)
		c.mangle(h)
		want := theirs.Verify([]byte(c.payload), h)
		if i == 2 {
			want = errors.New("stricter than the library: what cannot be read is refused")
		}
		got := webhook.Verify(pack.Webhook{Scheme: "standard-webhooks"}, [][]byte{[]byte(vectorSecret)}, webhook.Delivery{Header: h, Body: []byte(c.payload), At: at})
		if (got == nil) != (want == nil) {
			t.Errorf("case %d: %v, the library says %v", i, got, want)
		}
	}
}

func TestNamesOfDeliveriesByScheme(t *testing.T) {
	t.Parallel()
	event := `{"id":"evt_1","event_id":"Ev1"}`
	d := func(body string, kv ...string) webhook.Delivery {
		return webhook.Delivery{Header: header(kv...), Body: []byte(body)}
	}
	for name, c := range map[string]struct {
		scheme string
		d      webhook.Delivery
		want   string
	}{
		"gitlab's key":           {"gitlab", d(event, "Idempotency-Key", "k1", "X-Gitlab-Event-UUID", "u1"), "k1"},
		"gitlab's signed id":     {"gitlab", d(event, "Idempotency-Key", "k1", "Webhook-Id", "w1"), "w1"},
		"stripe's event":         {"stripe", d(event, "Webhook-Id", "w1"), "evt_1"},
		"slack's event":          {"slack", d(event, "Webhook-Id", "w1"), "Ev1"},
		"standard":               {"standard-webhooks", d(event, "Webhook-Id", "w1"), "w1"},
		"a body that is no text": {"stripe", d(`{"id":1}`, "Webhook-Id", "w1"), ""},
	} {
		got := webhook.Identify(c.scheme, c.d)
		if got.Given != (c.want != "") || c.want != "" && got.Value != c.want {
			t.Errorf("%s: %+v, want %q", name, got, c.want)
		}
	}
	one, two := slack(secret, now), slack(secret, now.Add(time.Second))
	first := webhook.Identify("slack", webhook.Delivery{Header: one, Body: body})
	again := webhook.Identify("slack", webhook.Delivery{Header: one.Clone(), Body: body})
	later := webhook.Identify("slack", webhook.Delivery{Header: two, Body: body})
	if !first.Given || first != again || first == later {
		t.Errorf("%+v, again %+v, a second later %+v", first, again, later)
	}
}

func TestSlackIsAnswered(t *testing.T) {
	t.Parallel()
	greeting := webhook.Delivery{Body: []byte(`{"type":"url_verification","challenge":"c1"}`)}
	if challenge, asked := webhook.Challenge("slack", greeting); challenge != "c1" || !asked {
		t.Error(challenge, asked)
	}
	if _, asked := webhook.Challenge("hmac", greeting); asked {
		t.Error("another scheme answers")
	}
	if _, asked := webhook.Challenge("slack", webhook.Delivery{Body: body}); asked {
		t.Error("an event is answered")
	}
}

func FuzzParseStripe(f *testing.F) {
	for _, s := range []string{stripe(secret, now), "t=1", "v1=", "t=1,t=2", ",", "t=1,v1=" + strings.Repeat("0", 64) + ",x", "=,="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, macs, err := webhook.ParseStripe(s)
		if (err == nil) != (at != "" && len(macs) > 0) {
			t.Errorf("%q gave %q, %d signatures and %v", s, at, len(macs), err)
		}
		for _, m := range macs {
			if len(m) != sha256.Size || !strings.Contains(strings.ToLower(s), "v1="+hex.EncodeToString(m)) {
				t.Errorf("%q gave the signature %x", s, m)
			}
		}
	})
}

func FuzzParseSlack(f *testing.F) {
	for _, s := range []string{slackProof, "v0=", "v1" + slackProof[2:], strings.ToUpper(slackProof), slackProof + " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mac, err := webhook.ParseSlack(s)
		if err == nil && !strings.EqualFold("v0="+hex.EncodeToString(mac), s) {
			t.Errorf("%q was read as %x", s, mac)
		}
	})
}

// Whatever headers come, only the one right proof gets in.
func FuzzVerify(f *testing.F) {
	f.Add("stripe", "t=1,v1=00", "", "")
	f.Add("slack", slackProof, "1531420618", "")
	f.Add("gitlab", "", "", base64.StdEncoding.EncodeToString(secret))
	f.Fuzz(func(t *testing.T, scheme, proof, at, id string) {
		h := http.Header{}
		for _, name := range []string{"Stripe-Signature", "X-Slack-Signature", "X-Gitlab-Token", "Webhook-Signature", "X-Hub-Signature-256", "X-Signature-256", "Authorization"} {
			h.Set(name, proof)
		}
		for _, name := range []string{"X-Slack-Request-Timestamp", "Webhook-Timestamp"} {
			h.Set(name, at)
		}
		h.Set("Webhook-Id", id)
		err := webhook.Verify(pack.Webhook{Scheme: scheme}, [][]byte{[]byte("a secret that no input has")}, webhook.Delivery{Header: h, Body: body, At: now})
		if err == nil || !errors.Is(err, webhook.ErrRefused) && !errors.Is(err, webhook.ErrMisconfigured) {
			t.Errorf("%s: %q, %q and %q gave %v", scheme, proof, at, id, err)
		}
	})
}
