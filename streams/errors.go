package streams

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Error codes of the server, from its errors.json.
const (
	codeWrongLastSequence jetstream.ErrorCode = 10071
	codeSubjectInFlight   jetstream.ErrorCode = 10164 // "wrong last sequence", without one
	codeStoreFailed       jetstream.ErrorCode = 10077
)

// IsStale tells whether the server refused a publish because the expected last sequence of the subject
// was another: somebody else was first.
func IsStale(err error) bool { return hasCode(err, codeWrongLastSequence) }

// IsUndecided tells whether the server could not compare the last sequence of the subject, because another message
// of it is on its way to the replicas; for a moment this may be the very message that was acknowledged just before.
// Publishing again decides it. (Seen in checkMsgHeadersPreClusteredProposal of nats-server 2.15.)
func IsUndecided(err error) bool { return hasCode(err, codeSubjectInFlight) }

func hasCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

// IsDuplicate tells whether the server refused a publish because the subject holds its one message already.
// The server has no error code of its own for this; its text has been stable since 2.2.
func IsDuplicate(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeStoreFailed && strings.Contains(api.Description, "maximum messages per subject exceeded")
}

// IsFull tells whether the server refused a publish because the stream has reached its size.
func IsFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeStoreFailed && strings.Contains(api.Description, "maximum bytes exceeded")
}
