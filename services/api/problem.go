package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/secret"
)

// problem makes an error that a client sees.
func problem(status int, code, detail string, fields ...wire.FieldError) *wire.Problem {
	return &wire.Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Errors: fields}
}

func invalid(field, message string) *wire.Problem {
	return problem(http.StatusBadRequest, wire.CodeInvalidRequest, field+": "+message, wire.FieldError{Field: field, Message: message})
}

func notFound(kind, name string) *wire.Problem {
	return problem(http.StatusNotFound, wire.CodeNotFound, fmt.Sprintf("there is no %s %q", kind, clip(name)))
}

func conflict(detail string) *wire.Problem {
	return problem(http.StatusConflict, wire.CodeConflict, detail)
}

// clip bounds what of a client's own text is said back to it.
func clip(s string) string {
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// known are the errors of other packages that mean something to a client.
var known = []struct {
	err     error
	problem *wire.Problem
}{
	{history.ErrBadCursor, problem(http.StatusBadRequest, wire.CodeInvalidCursor, "cursor: give back the next_cursor of a page of the same list", wire.FieldError{Field: "cursor", Message: "is not one that a page gave out"})},
	{execution.ErrConflict, conflict("this Idempotency-Key was used for another action or other parameters")},
	{event.ErrFull, problem(http.StatusServiceUnavailable, wire.CodeEventsFull, "no more events are taken until older ones are decided")},
	{errScheduler, problem(http.StatusServiceUnavailable, wire.CodeSchedulerDown, "no scheduler answers; another takes over within seconds")},
	{errTooManyStreams, problem(http.StatusTooManyRequests, wire.CodeTooManyStreams, "too many streams are open; try again later")},
	{errDefinitions, databaseDown},
}

var (
	databaseDown = problem(http.StatusServiceUnavailable, wire.CodeDatabaseDown, "the database does not answer; definitions cannot be changed and history cannot be read until it does")
	keysAway     = problem(http.StatusServiceUnavailable, wire.CodeSecretsUnavailable, "the keys of secrets cannot be used now; the service's log says why")
	busDown      = problem(http.StatusServiceUnavailable, wire.CodeBusDown, "NATS does not answer; nothing can be accepted until it does")
)

// explain makes an error one that a client may see. What is not its business goes to the log.
func (s *Server) explain(ctx context.Context, err error) *wire.Problem {
	var p *wire.Problem
	if errors.As(err, &p) {
		return p
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return k.problem
		}
	}
	if isUnstorable(err) {
		return problem(http.StatusBadRequest, wire.CodeInvalidRequest, "a text in the request holds what no text may: NUL, or what is not UTF-8")
	}
	p = unavailable(err)
	if p == nil {
		p = problem(http.StatusInternalServerError, wire.CodeInternal, "something went wrong inside; the service's log has it under request "+middleware.GetReqID(ctx))
	}
	if ctx.Err() == nil || p.Status == http.StatusInternalServerError {
		s.log.ErrorContext(ctx, "request not served", slog.String("request", middleware.GetReqID(ctx)), slog.Any("error", err))
	}
	return p
}

// isUnstorable tells text that PostgreSQL takes nowhere, and that therefore nothing of ours can have.
func isUnstorable(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (answer.Code == "22021" || answer.Code == "22P05")
}

// unavailable tells an outage of PostgreSQL, NATS or the keys of secrets from a fault of ours.
func unavailable(err error) *wire.Problem {
	switch {
	case errors.Is(err, secret.ErrVault), errors.Is(err, secret.ErrKeyWrong), errors.Is(err, secret.ErrKeyMissing), errors.Is(err, secret.ErrKeyFile):
		return keysAway
	case isNATSDown(err):
		return busDown
	case isDatabaseDown(err):
		return databaseDown
	}
	return nil
}

func isNATSDown(err error) bool {
	for _, e := range []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrNoServers,
		nats.ErrDisconnected, nats.ErrReconnectBufExceeded, jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled,
		errBusTimeout, errReadEnded,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code >= http.StatusInternalServerError
}

// isDatabaseDown takes for an outage whatever is no answer of PostgreSQL about the statement itself.
func isDatabaseDown(err error) bool {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch answer.Code[:2] {
		case "08", "53", "57", "58", "25": // connection, resources, operator intervention, system, read-only
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err) || errors.Is(err, pgx.ErrTxClosed)
}

// write sends a problem where no typed handler is at work.
func write(w http.ResponseWriter, p *wire.Problem) {
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", strconv.Itoa(max(p.RetryAfter, 2)))
		}
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client has gone; there is nobody to tell
}

// The validator of typed handlers makes its errors through this variable of the library.
func init() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError { return refused(status, detail, errs) }
}

// refused is what becomes of a request whose form is wrong: 400 with every field, whatever the library says.
func refused(status int, detail string, errs []error) *wire.Problem {
	if status >= http.StatusInternalServerError {
		return problem(status, wire.CodeInternal, "something went wrong inside")
	}
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	p := problem(status, codeOf(status), detail)
	for _, err := range errs {
		p.Errors = append(p.Errors, fieldError(err))
	}
	if len(p.Errors) > 0 {
		p.Detail = p.Errors[0].String()
	}
	return p
}

func codeOf(status int) string {
	switch status {
	case http.StatusNotAcceptable:
		return wire.CodeNotAcceptable
	case http.StatusRequestTimeout:
		return wire.CodeRequestTimeout
	case http.StatusRequestEntityTooLarge:
		return wire.CodeTooLarge
	case http.StatusUnsupportedMediaType:
		return wire.CodeUnsupportedMedia
	}
	return wire.CodeInvalidRequest
}

// missing and located find the field's name in the words of the validator and of the JSON reader.
var (
	missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)
	located = regexp.MustCompile(`^([A-Za-z0-9_.\[\]-]{1,200}): (.+)$`)
)

// fieldError names the field. The value is left out: it may be a secret.
func fieldError(err error) wire.FieldError {
	var d huma.ErrorDetailer
	if !errors.As(err, &d) {
		return wire.FieldError{Message: err.Error()}
	}
	detail := d.ErrorDetail()
	_, field, _ := strings.Cut(detail.Location, ".")
	if m := missing.FindStringSubmatch(detail.Message); m != nil {
		return wire.FieldError{Field: strings.TrimPrefix(field+"."+m[1], "."), Message: "is required"}
	}
	if m := located.FindStringSubmatch(detail.Message); m != nil && field == "" {
		return wire.FieldError{Field: m[1], Message: m[2]}
	}
	return wire.FieldError{Field: field, Message: detail.Message}
}
