package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"

	"github.com/attune/attune/pkg/strictjson"
)

// ID is what tells deliveries apart.
type ID struct {
	Value string
	// Given is set when the sender named the delivery: the name is used once, for ever. Otherwise Value is the
	// digest of the body, and only means that a delivery repeated within a short time is the same one: the same
	// body may well be sent again on purpose the next day.
	Given bool
}

// maxID bounds the id that a sender may choose; a longer one is replaced by its digest.
const maxID = 128

// Identify gives a delivery's id: what its scheme names deliveries by, or the digest of the body. The delivery must be
// proven.
func Identify(scheme string, d Delivery) ID {
	if given := given(scheme, d); given != "" {
		if len(given) > maxID {
			given = digest([]byte(given))
		}
		return ID{Value: given, Given: true}
	}
	if at := signedAt(scheme, d); at != "" {
		return ID{Value: digest([]byte(at + "." + string(d.Body))), Given: true}
	}
	return ID{Value: digest(d.Body)}
}

// given looks where the scheme has it. A sender that signs the body names the event there, and repeats a delivery with
// another time but the same name.
func given(scheme string, d Delivery) string {
	switch scheme {
	case GitHub:
		return d.Header.Get(HeaderGitHubDelivery)
	case GitLab:
		return cmp.Or(d.Header.Get(HeaderID), d.Header.Get(HeaderGitLabDelivery))
	case Stripe:
		return member(d.Body, "id")
	case Slack:
		return member(d.Body, "event_id")
	}
	return cmp.Or(d.Header.Get(HeaderID), d.Header.Get(HeaderGitHubDelivery))
}

// signedAt gives the time of a delivery that is proven together with its body: both again are the same delivery again.
func signedAt(scheme string, d Delivery) string {
	switch scheme {
	case Stripe:
		at, _, _ := ParseStripe(d.Header.Get(HeaderStripeSignature))
		return at
	case Slack:
		return d.Header.Get(HeaderSlackTimestamp)
	}
	return ""
}

// member gives a text of a JSON object, and "" when there is none.
func member(body []byte, name string) string {
	fields, err := strictjson.ParseObject(body)
	if err != nil {
		return ""
	}
	text, _ := fields[name].(string)
	return text
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Challenge gives what Slack wants to hear when it is told where to deliver. The delivery must be proven.
func Challenge(scheme string, d Delivery) (challenge string, asked bool) {
	if scheme != Slack || member(d.Body, "type") != "url_verification" {
		return "", false
	}
	return member(d.Body, "challenge"), true
}
