package api

import (
	"fmt"
	"strings"
)

// Problem is an error as RFC 9457 has it, with a code that stays the same when the words change.
type Problem struct {
	Type   string       `json:"type,omitempty" doc:"A URI reference that identifies the kind of problem."`
	Title  string       `json:"title" doc:"What HTTP calls the status."`
	Status int          `json:"status"`
	Detail string       `json:"detail" doc:"What is wrong, with which value, and what to do."`
	Code   string       `json:"code" doc:"Stable; for programs to branch on." example:"invalid_parameters"`
	Errors []FieldError `json:"errors,omitempty" doc:"Every field that is wrong, all at once."`
}

// FieldError says what is wrong with one field, or with one place in a file of a pack.
type FieldError struct {
	Field   string `json:"field,omitempty" doc:"Path of the field, such as parameters.host, or file:line:column in a pack."`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
}

// String gives "field: message".
func (f FieldError) String() string {
	if f.Field == "" {
		return f.Message
	}
	return f.Field + ": " + f.Message
}

// Error gives the detail, and every wrong field on a line of its own.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", p.Detail, p.Code)
	for _, f := range p.Errors {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// GetStatus gives the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType gives the media type of problems.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// The codes of problems.
const (
	CodeInvalidRequest     = "invalid_request"       // 400: the request's form is wrong; errors name the fields
	CodeInvalidJSON        = "invalid_json"          // 400
	CodeInvalidParameters  = "invalid_parameters"    // 400: parameters do not fit the action's schema
	CodeInvalidPayload     = "invalid_payload"       // 400: a payload does not fit the trigger's schema
	CodeInvalidCursor      = "invalid_cursor"        // 400
	CodeUnauthorized       = "unauthorized"          // 401: no token, or not the right one
	CodeBadSignature       = "bad_signature"         // 401: a webhook's signature is missing or wrong
	CodeWebhookClosed      = "webhook_closed"        // 403: the trigger's webhook is not set up to take deliveries
	CodeNotFound           = "not_found"             // 404
	CodeMethodNotAllowed   = "method_not_allowed"    // 405
	CodeNotAcceptable      = "not_acceptable"        // 406
	CodeRequestTimeout     = "request_timeout"       // 408: the body did not arrive in time
	CodeConflict           = "conflict"              // 409
	CodeTooLarge           = "too_large"             // 413
	CodeUnsupportedMedia   = "unsupported_media"     // 415
	CodeInvalidPack        = "invalid_pack"          // 422: errors hold file, line and column
	CodeTooManyStreams     = "too_many_streams"      // 429
	CodeInternal           = "internal"              // 500
	CodeDatabaseDown       = "database_unavailable"  // 503: definitions cannot be changed and history not be read; running goes on
	CodeBusDown            = "bus_unavailable"       // 503
	CodeSchedulerDown      = "scheduler_unavailable" // 503: no scheduler leads just now
	CodeEventsFull         = "events_full"           // 503: no more events until old ones are decided
	CodeSecretsUnavailable = "secrets_unavailable"   // 503
)
