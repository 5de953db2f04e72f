package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/audit"
	"github.com/attune/attune/pkg/logging"
)

// recording says when a change is written to the audit.
type recording int

const (
	never  recording = iota // it changes nothing, or history keeps who asked for it: requests of executions, and events
	after                   // directly after: it must be possible while PostgreSQL is away, and the bus keeps who asked for it
	before                  // before, without which it is not made, and after
)

// recording tells when what a route does is written to the audit. It follows from the right, so that no route can be
// left out.
func (d demand) recording() recording {
	switch d.right.Verb {
	case access.Edit, access.Administer:
		return before
	case access.Operate:
		switch d.right.Kind {
		case access.Events:
			return never
		case access.Executions, access.Queues, access.Sensors, access.Runners:
			return after
		default:
			return before
		}
	case access.View, access.Run, access.Use:
	}
	return never
}

// deed is what the audit will say of a request.
type deed struct {
	entry  audit.Entry
	missed bool // it could not be written down before, so nothing was done
}

type deedKey struct{}

// withDeed begins what may be said of a request: who, from where, what, and as far as its path tells, to which object.
func withDeed(hctx huma.Context, o huma.Operation, d demand) huma.Context {
	r, _ := humachi.Unwrap(hctx)
	e := audit.Entry{
		Actor: caller(hctx.Context()), Address: address(r), Action: o.OperationID, Kind: string(d.right.Kind),
		Request: middleware.GetReqID(hctx.Context()),
	}
	for _, name := range []string{"ref", "name", "id"} {
		if named := hctx.Param(name); named != "" {
			e.Object = named
		}
	}
	return huma.WithValue(hctx, deedKey{}, &deed{entry: e})
}

// note adds to what the audit will say of a request: which object it was about, what that was, and what it is now. No
// value of a secret may be in it. Object may be "" for the one that the path names.
func note(ctx context.Context, object string, was, is any) {
	d, ok := ctx.Value(deedKey{}).(*deed)
	if !ok {
		return
	}
	if object != "" {
		d.entry.Object = object
	}
	d.entry.Before, d.entry.After = asDocument(was), asDocument(is)
}

func asDocument(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return data
}

// begin writes down what is about to be done, where that must be known before.
func (s *Server) begin(ctx context.Context, d demand) error {
	what, ok := ctx.Value(deedKey{}).(*deed)
	if !ok || d.recording() != before {
		return nil
	}
	e := what.entry
	e.Outcome = audit.Begun
	row, err := s.audit.Append(ctx, e)
	if err != nil {
		what.missed = true
		return err
	}
	what.entry.Of = row.Seq
	return nil
}

// concludeTimeout is how long writing down an outcome may take.
const concludeTimeout = 3 * time.Second

// conclude writes down how it ended.
func (s *Server) conclude(ctx context.Context, d demand, p *wire.Problem) {
	what, ok := ctx.Value(deedKey{}).(*deed)
	if !ok || what.missed || d.recording() == never {
		return
	}
	e := what.entry
	e.Outcome = audit.Done
	if p != nil {
		e.Outcome, e.Detail, e.Before, e.After = audit.Refused, p.Code, nil, nil
		if p.Status >= http.StatusInternalServerError {
			e.Outcome = audit.Failed
		}
	}
	s.enter(ctx, e)
}

// enter adds to the audit what has happened. What cannot be written goes to the log, whole.
func (s *Server) enter(ctx context.Context, e audit.Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), concludeTimeout)
	defer cancel()
	if _, err := s.audit.Append(ctx, e); err != nil {
		s.metrics.unaudited.Inc()
		s.log.ErrorContext(ctx, "audit not written", slog.Any("entry", e), slog.Any(logging.Error, err))
		return
	}
	select {
	case s.anchor <- struct{}{}:
	default: // it will be anchored together with one before
	}
}

// auditRefused writes down that a caller was refused what it may not do, as far as its path told. Of one who tries
// again and again not every attempt is written.
func (s *Server) auditRefused(ctx context.Context, d demand, p *wire.Problem) {
	what, ok := ctx.Value(deedKey{}).(*deed)
	if !ok || d.recording() == never || s.limits.refused.take(what.entry.Actor) > 0 {
		return
	}
	s.conclude(ctx, d, p)
}

// auditStranger writes down that somebody who has not proved who it is tried to change something.
func (s *Server) auditStranger(r *http.Request) {
	from := network(address(r))
	if isRead(r) || s.limits.refused.take("address "+from) > 0 || s.limits.refused.take("strangers") > 0 {
		return
	}
	s.enter(r.Context(), audit.Entry{
		Address: address(r), Action: "authenticate", Object: r.Method + " " + strings.TrimPrefix(r.URL.Path, wire.Prefix), Outcome: audit.Refused,
		Detail: wire.CodeUnauthorized, Request: middleware.GetReqID(r.Context()),
	})
}

func (s *Server) auditSignIn(ctx context.Context, in *signInInput, outcome audit.Outcome) {
	if outcome == audit.Refused && s.limits.refused.take("address "+network(address(in.request))) > 0 {
		return
	}
	s.enter(ctx, audit.Entry{
		Actor: access.NameOfUser(in.Body.Name), Address: address(in.request), Action: "sign-in", Kind: "session", Object: in.Body.Name, Outcome: outcome,
		Request: middleware.GetReqID(ctx),
	})
}

// anchorEvery is how often the newest row is kept on the bus, when nothing was written here meanwhile.
const anchorEvery = time.Minute

// anchorAudit keeps the newest row of the audit on the bus, whoever wrote it.
func (s *Server) anchorAudit(ctx context.Context) error {
	tick := time.NewTicker(anchorEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.anchor:
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := s.keepHead(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "head of the audit not kept on the bus; it is tried again", slog.Any(logging.Error, err))
		}
	}
}

func (s *Server) keepHead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	head, err := s.audit.Head(ctx)
	if err != nil || head.Seq == 0 {
		return err
	}
	return audit.Anchor(ctx, s.config.Bus.JS, head)
}
