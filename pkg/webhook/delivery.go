package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
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

// Identify gives a delivery's id: X-GitHub-Delivery, or Webhook-Id, or the digest of the body.
func Identify(scheme string, d Delivery) ID {
	if given := given(scheme, d.Header); given != "" {
		if len(given) > maxID {
			given = digest([]byte(given))
		}
		return ID{Value: given, Given: true}
	}
	return ID{Value: digest(d.Body)}
}

func given(scheme string, h http.Header) string {
	if scheme == GitHub {
		return h.Get(HeaderGitHubDelivery)
	}
	if id := h.Get(HeaderID); id != "" {
		return id
	}
	return h.Get(HeaderGitHubDelivery)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
