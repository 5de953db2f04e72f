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

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	now    = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	body   = []byte("Hello, World!")
	secret = []byte("It's a Secret to Everybody")
)

// The example of GitHub's documentation, "Validating webhook deliveries".
const documented = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

func sign(secret, body []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write(body)
	return "sha256=" + hex.EncodeToString(h.Sum(nil))
}

func standard(secret []byte, id string, at time.Time, body []byte) string {
	h := hmac.New(sha256.New, secret)
	fmt.Fprintf(h, "%s.%d.%s", id, at.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func header(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Add(kv[i], kv[i+1])
	}
	return h
}

func TestVerify(t *testing.T) {
	t.Parallel()
	gh := pack.Webhook{Scheme: "github", Secret: "s"}
	generic := pack.Webhook{Scheme: "hmac", Secret: "s"}
	bearer := pack.Webhook{Scheme: "bearer", Secret: "s"}
	stamp := func(at time.Time) string { return fmt.Sprint(at.Unix()) }
	std := func(at time.Time, sig string) http.Header {
		return header("webhook-id", "m1", "webhook-timestamp", stamp(at), "webhook-signature", sig)
	}
	cases := []struct {
		name   string
		w      pack.Webhook
		secret []byte
		header http.Header
		want   error
	}{
		{"github as documented", gh, secret, header("X-Hub-Signature-256", documented), nil},
		{"github with another body's signature", gh, secret, header("X-Hub-Signature-256", sign(secret, []byte("x"))), webhook.ErrRefused},
		{"github with another secret's signature", gh, secret, header("X-Hub-Signature-256", sign([]byte("x"), body)), webhook.ErrRefused},
		{"github without a signature", gh, secret, header(), webhook.ErrRefused},
		{"github with the old algorithm only", gh, secret, header("X-Hub-Signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"), webhook.ErrRefused},
		{"github with the wrong algorithm's name", gh, secret, header("X-Hub-Signature-256", "sha1="+documented[7:]), webhook.ErrRefused},
		{"github with two signatures", gh, secret, header("X-Hub-Signature-256", documented, "X-Hub-Signature-256", documented), webhook.ErrRefused},
		{"github with a list of signatures", gh, secret, header("X-Hub-Signature-256", documented+","+documented), webhook.ErrRefused},
		{"github with a cut signature", gh, secret, header("X-Hub-Signature-256", documented[:40]), webhook.ErrRefused},
		{"github with an empty signature", gh, secret, header("X-Hub-Signature-256", ""), webhook.ErrRefused},
		{"github with the generic header", gh, secret, header("X-Signature-256", documented), webhook.ErrRefused},
		{"github without a secret is closed", gh, nil, header("X-Hub-Signature-256", sign(nil, body)), webhook.ErrMisconfigured},
		{"hmac of the body", generic, secret, header("X-Signature-256", documented), nil},
		{"hmac under GitHub's header", generic, secret, header("X-Hub-Signature-256", documented), nil},
		{"hmac with two kinds of proof", generic, secret, header("X-Signature-256", documented, "X-Hub-Signature-256", documented), webhook.ErrRefused},
		{"hmac without proof", generic, secret, header(), webhook.ErrRefused},
		{"standard webhooks", generic, secret, std(now, standard(secret, "m1", now, body)), nil},
		{"standard webhooks while keys change", generic, secret, std(now, standard([]byte("x"), "m1", now, body)+" "+standard(secret, "m1", now, body)), nil},
		{"standard webhooks four minutes ago", generic, secret, std(now.Add(-4*time.Minute), standard(secret, "m1", now.Add(-4*time.Minute), body)), nil},
		{"standard webhooks too old", generic, secret, std(now.Add(-6*time.Minute), standard(secret, "m1", now.Add(-6*time.Minute), body)), webhook.ErrRefused},
		{"standard webhooks from the future", generic, secret, std(now.Add(6*time.Minute), standard(secret, "m1", now.Add(6*time.Minute), body)), webhook.ErrRefused},
		{"standard webhooks replayed under another id", generic, secret, std(now, standard(secret, "m2", now, body)), webhook.ErrRefused},
		{"standard webhooks replayed under another time", generic, secret, std(now, standard(secret, "m1", now.Add(-time.Second), body)), webhook.ErrRefused},
		{"standard webhooks of version v2", generic, secret, std(now, "v2"+standard(secret, "m1", now, body)[2:]), webhook.ErrRefused},
		{"standard webhooks without a time", generic, secret, header("webhook-id", "m1", "webhook-signature", standard(secret, "m1", now, body)), webhook.ErrRefused},
		{"bearer", bearer, secret, header("Authorization", "Bearer "+string(secret)), nil},
		{"bearer with the wrong token", bearer, secret, header("Authorization", "Bearer nope"), webhook.ErrRefused},
		{"bearer with no token", bearer, secret, header("Authorization", "Bearer "), webhook.ErrRefused},
		{"bearer twice", bearer, secret, header("Authorization", "Bearer "+string(secret), "Authorization", "Bearer x"), webhook.ErrRefused},
		{"bearer without a secret is closed", bearer, nil, header("Authorization", "Bearer "), webhook.ErrMisconfigured},
		{"none, allowed", pack.Webhook{Scheme: "none", AllowUnauthenticated: true}, nil, header(), nil},
		{"none, not allowed", pack.Webhook{Scheme: "none"}, nil, header(), webhook.ErrMisconfigured},
		{"an unknown scheme", pack.Webhook{Scheme: "GitHub", AllowUnauthenticated: true}, secret, header("X-Hub-Signature-256", documented), webhook.ErrMisconfigured},
		{"no scheme", pack.Webhook{AllowUnauthenticated: true}, secret, header(), webhook.ErrMisconfigured},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := webhook.Verify(c.w, [][]byte{c.secret}, webhook.Delivery{Header: c.header, Body: body, At: now})
			if !errors.Is(err, c.want) {
				t.Errorf("Verify gave %v, want %v", err, c.want)
			}
		})
	}
}

func TestASecretInTheFormOfStandardWebhooksIsDecoded(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef01234567")
	text := "whsec_" + base64.StdEncoding.EncodeToString(key)
	d := webhook.Delivery{Body: body, At: now, Header: header(
		"webhook-id", "m1", "webhook-timestamp", fmt.Sprint(now.Unix()), "webhook-signature", standard(key, "m1", now, body))}
	if err := webhook.Verify(pack.Webhook{Scheme: "hmac"}, [][]byte{[]byte(text)}, d); err != nil {
		t.Error(err)
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	d := func(kv ...string) webhook.Delivery { return webhook.Delivery{Header: header(kv...), Body: body} }
	digest := webhook.Identify("none", d())
	if digest.Given || !strings.HasPrefix(digest.Value, "sha256:") {
		t.Errorf("a delivery without a name is %+v", digest)
	}
	if got := webhook.Identify("github", d("X-GitHub-Delivery", "d1", "webhook-id", "w1")); got != (webhook.ID{Value: "d1", Given: true}) {
		t.Errorf("a GitHub delivery is %+v", got)
	}
	if got := webhook.Identify("hmac", d("X-GitHub-Delivery", "d1", "webhook-id", "w1")); got != (webhook.ID{Value: "w1", Given: true}) {
		t.Errorf("a delivery is %+v", got)
	}
	long := webhook.Identify("bearer", d("webhook-id", strings.Repeat("x", 10_000)))
	if !long.Given || len(long.Value) > 100 {
		t.Errorf("a long id became %+v", long)
	}
}

func FuzzParseSignature(f *testing.F) {
	for _, s := range []string{documented, "sha256=", "sha1=00", "", strings.ToUpper(documented), documented + " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mac, err := webhook.ParseSignature(s)
		if err == nil && !strings.EqualFold("sha256="+hex.EncodeToString(mac), s) {
			t.Errorf("%q was read as %x", s, mac)
		}
	})
}

func FuzzParseSignatures(f *testing.F) {
	for _, s := range []string{standard(secret, "a", now, body), "v1,", "v1a,xxx v1,yy", ",", "v2,AAAA", strings.Repeat("v1,x ", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		macs, err := webhook.ParseSignatures(s)
		if (err == nil) != (len(macs) > 0) {
			t.Errorf("%q gave %d signatures and %v", s, len(macs), err)
		}
		for _, m := range macs {
			if len(m) != sha256.Size {
				t.Errorf("%q gave a signature of %d bytes", s, len(m))
			}
		}
	})
}
