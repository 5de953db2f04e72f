// Package api is the HTTP API's words: what requests and responses look like as JSON, and the codes of errors.
//
// The server and the client are built from these types, so they cannot disagree. Fields are only ever added.
// Lists are pages: Items, and a cursor for the next page where there is one.
package api

// Prefix begins the path of every resource.
const Prefix = "/api/v1"

// Headers of requests and responses beyond HTTP's own.
const (
	// HeaderIdempotencyKey on POST /executions makes repeating the request safe: the same key is the same execution.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderReplayed is "true" on the answer to a request that had been made before with the same key.
	HeaderReplayed = "Idempotency-Replayed"
	// HeaderOffset says at which byte of the whole output a logs response begins.
	HeaderOffset = "Attune-Offset"
	// HeaderLog names the log of a sensor that a logs response is of.
	HeaderLog = "Attune-Log"
	// HeaderLastEventID resumes a stream behind the event of that id.
	HeaderLastEventID = "Last-Event-ID"
)

// Names of the server-sent events on the two streams. The id of each is its sequence in its stream.
const (
	StreamedExecution = "execution" // data: Execution
	StreamedEvent     = "event"     // data: Event
	StreamedGap       = "gap"       // data: {"from", "to"}: these sequences cannot be sent any more
)

// Page is one page of a list.
type Page[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Give it as cursor to get the next page; absent on the last one."`
}
