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

	Queue     *QueueStats  `json:"queue,omitempty" doc:"How the queue stood that took nothing: with queue_full and queue_draining."`
	Install   *PackVersion `json:"install,omitempty" doc:"The version that could not go in service: with install_failed."`
	Execution string       `json:"execution,omitempty" doc:"The execution that was made and ended at once: with queue_full and queue_draining, if there is one."`

	RetryAfter int `json:"-"` // the header's seconds; 0: the usual for who answers, none for who asked
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

// The codes of problems. Clients repeat any request that is refused with rate_limited, too_many_streams,
// scheduler_unavailable or events_full: whoever answers with one of these has done nothing of what was asked.
const (
	CodeInvalidRequest     = "invalid_request"       // 400: the request's form is wrong; errors name the fields
	CodeInvalidJSON        = "invalid_json"          // 400
	CodeInvalidParameters  = "invalid_parameters"    // 400: parameters do not fit the action's schema
	CodeInvalidPayload     = "invalid_payload"       // 400: a payload does not fit the trigger's schema
	CodeInvalidCursor      = "invalid_cursor"        // 400
	CodeUnauthorized       = "unauthorized"          // 401: no token, or not the right one
	CodeBadSignature       = "bad_signature"         // 401: a webhook's signature is missing or wrong
	CodeForbidden          = "forbidden"             // 403: who calls may see this, but not do that
	CodeCrossOrigin        = "cross_origin"          // 403: a browser sent it because another site asked it to
	CodeWebhookClosed      = "webhook_closed"        // 403: the trigger's webhook is not set up to take deliveries
	CodeNotFound           = "not_found"             // 404
	CodeMethodNotAllowed   = "method_not_allowed"    // 405
	CodeNotAcceptable      = "not_acceptable"        // 406
	CodeNoSuchRange        = "no_such_range"         // 416: a log has no such bytes; Content-Range says how many it has
	CodeRequestTimeout     = "request_timeout"       // 408: the body did not arrive in time
	CodeConflict           = "conflict"              // 409
	CodeGone               = "gone"                  // 410
	CodeQueueFull          = "queue_full"            // 409: the action starts at once or not at all, and it cannot start now; queue says how it stands
	CodeQueueDraining      = "queue_draining"        // 409: the queue takes nothing new until it is resumed; queue says how it stands
	CodeNoRunner           = "no_runner"             // 409: no living runner has what the action asks for
	CodeSecretsGone        = "secrets_gone"          // 409: the secret parameters of the execution are no longer kept
	CodeTooLarge           = "too_large"             // 413
	CodeUnsupportedMedia   = "unsupported_media"     // 415
	CodeInvalidPack        = "invalid_pack"          // 422: errors hold file, line and column
	CodeInstallFailed      = "install_failed"        // 422: the version cannot go in service, the one before stays; install says why
	CodeInvalidConfig      = "invalid_config"        // 422: the configuration does not fit the pack's schema
	CodeRateLimited        = "rate_limited"          // 429: too many requests, or wrong credentials; Retry-After says when to come back
	CodeTooManyStreams     = "too_many_streams"      // 429
	CodeInternal           = "internal"              // 500
	CodeDatabaseDown       = "database_unavailable"  // 503: definitions cannot be changed and history not be read; running goes on
	CodeBusDown            = "bus_unavailable"       // 503
	CodeSchedulerDown      = "scheduler_unavailable" // 503: no scheduler leads just now
	CodeEventsFull         = "events_full"           // 503: no more events until old ones are decided
	CodeIssuerDown         = "issuer_unavailable"    // 503: the service that proves users does not answer
	CodeSecretsUnavailable = "secrets_unavailable"   // 503
)
