package streams

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Error codes of the server, from its errors.json.
const (
	codeWrongLastSequence         jetstream.ErrorCode = 10071
	codeWrongLastSequenceConstant jetstream.ErrorCode = 10164
	codeStoreFailed               jetstream.ErrorCode = 10077
)

// IsStale tells whether the server refused a publish because the expected last sequence of the subject
// was another: somebody else was first.
func IsStale(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	return api.ErrorCode == codeWrongLastSequence || api.ErrorCode == codeWrongLastSequenceConstant
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
