// Package webhook decides whether a delivery comes from who it says.
//
// It guarantees that a delivery is taken only when its scheme's proof is there exactly once, well formed and
// right; that comparing takes the same time for every wrong proof; and that whatever is unknown, empty or
// not configured refuses. It reads headers and the raw body, and keeps nothing; the body
// is read as JSON only once it is proven, and only for the name of a delivery.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/attune/attune/pkg/pack"
)

// The schemes.
const (
	GitHub   = "github"            // X-Hub-Signature-256: HMAC-SHA256 of the raw body
	GitLab   = "gitlab"            // X-Gitlab-Token: the secret itself; or, where a signing token is set, as Standard
	Stripe   = "stripe"            // Stripe-Signature: time and HMAC-SHA256 of time and raw body
	Slack    = "slack"             // X-Slack-Signature: the same, with the time in X-Slack-Request-Timestamp
	Standard = "standard-webhooks" // Webhook-Signature: HMAC-SHA256 of id, time and raw body (standardwebhooks.com)
	HMAC     = "hmac"              // X-Signature-256 or X-Hub-Signature-256, or as Standard
	Bearer   = "bearer"            // Authorization: Bearer and the secret
	None     = "none"              // anybody; only where the trigger says allow_unauthenticated
)

// Headers that deliveries carry.
const (
	HeaderGitHubSignature = "X-Hub-Signature-256"
	HeaderGitHubDelivery  = "X-GitHub-Delivery"
	HeaderGitHubEvent     = "X-GitHub-Event"
	HeaderGitLabToken     = "X-Gitlab-Token"
	HeaderGitLabDelivery  = "Idempotency-Key" // the same for each try to deliver the same event
	HeaderStripeSignature = "Stripe-Signature"
	HeaderSlackSignature  = "X-Slack-Signature"
	HeaderSlackTimestamp  = "X-Slack-Request-Timestamp"
	HeaderSignature       = "X-Signature-256"
	HeaderID              = "Webhook-Id"
	HeaderTimestamp       = "Webhook-Timestamp"
	HeaderSignatures      = "Webhook-Signature"
)

// Tolerance is how far a signed time may be from now, either way.
const Tolerance = 5 * time.Minute

var (
	// ErrRefused is returned when a delivery does not prove where it comes from. What is wrong is wrapped, for
	// the log; the sender need not know.
	ErrRefused = errors.New("delivery refused")
	// ErrMisconfigured is returned when no delivery could be accepted: the scheme is unknown, its secret is
	// missing, or "none" was not allowed.
	ErrMisconfigured = errors.New("webhook is not configured")
)

// NeedsSecret tells whether deliveries of a scheme are verified with a secret.
func NeedsSecret(scheme string) bool { return scheme != None }

// Delivery is what arrived.
type Delivery struct {
	Header http.Header
	Body   []byte
	At     time.Time // when it arrived
}

// verifiers are the schemes that have a secret.
var verifiers = map[string]func(secret []byte, d Delivery) error{
	GitHub:   func(secret []byte, d Delivery) error { return verifyBody(secret, d, HeaderGitHubSignature) },
	GitLab:   verifyGitLab,
	Stripe:   verifyStripe,
	Slack:    verifySlack,
	Standard: verifyStandard,
	HMAC:     verifyHMAC,
	Bearer:   verifyBearer,
}

// Verify accepts a delivery that one of the secrets proves, or returns ErrRefused or ErrMisconfigured. There are several
// while a secret is being changed. Empty ones are passed over.
func Verify(w pack.Webhook, secrets [][]byte, d Delivery) error {
	if w.Scheme == None {
		return verifyNone(w)
	}
	verify, known := verifiers[w.Scheme]
	if !known {
		return fmt.Errorf("scheme %q is unknown: %w", w.Scheme, ErrMisconfigured)
	}
	err := fmt.Errorf("scheme %q without a secret: %w", w.Scheme, ErrMisconfigured)
	for _, secret := range secrets {
		if len(secret) == 0 {
			continue
		}
		if err = verify(secret, d); err == nil {
			return nil
		}
	}
	return err
}

func verifyNone(w pack.Webhook) error {
	if !w.AllowUnauthenticated {
		return fmt.Errorf("scheme %q without allow_unauthenticated: %w", None, ErrMisconfigured)
	}
	return nil
}

func verifyBody(secret []byte, d Delivery, header string) error {
	value, err := only(d.Header, header)
	if err != nil {
		return err
	}
	given, err := ParseSignature(value)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", header, ErrRefused, err)
	}
	if !hmac.Equal(given, sum(secret, d.Body)) {
		return fmt.Errorf("%s is not that of the body: %w", header, ErrRefused)
	}
	return nil
}

func sum(secret []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, secret)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// verifyHMAC takes the one kind of proof that the delivery carries. Two kinds at once are refused: which of
// them counts would be a guess.
func verifyHMAC(secret []byte, d Delivery) error {
	var kinds []string
	for _, h := range []string{HeaderSignature, HeaderGitHubSignature, HeaderSignatures} {
		if len(d.Header.Values(h)) > 0 {
			kinds = append(kinds, h)
		}
	}
	if len(kinds) != 1 {
		return fmt.Errorf("%d kinds of signature, want one: %w", len(kinds), ErrRefused)
	}
	if kinds[0] == HeaderSignatures {
		return verifyStandard(secret, d)
	}
	return verifyBody(secret, d, kinds[0])
}

func verifyBearer(secret []byte, d Delivery) error {
	value, err := only(d.Header, "Authorization")
	if err != nil {
		return err
	}
	kind, token, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(kind, "Bearer") {
		return fmt.Errorf("authorization is not a bearer token: %w", ErrRefused)
	}
	if !Equal(token, string(secret)) {
		return fmt.Errorf("bearer token is wrong: %w", ErrRefused)
	}
	return nil
}

// Equal compares two secrets in a time that tells neither where they differ nor how long they are.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// only gives a header that must be there once.
func only(h http.Header, name string) (string, error) {
	values := h.Values(name)
	if len(values) != 1 {
		return "", fmt.Errorf("header %s is there %d times, want once: %w", name, len(values), ErrRefused)
	}
	return values[0], nil
}
