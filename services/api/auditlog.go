package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/audit"
	"github.com/attune/attune/pkg/history"
)

// verifyTimeout is how long checking the whole audit may take.
const verifyTimeout = 5 * time.Minute

func (s *Server) routeAudit(a huma.API) {
	const tag = "Audit"
	list := op(mayAll(access.View, access.Audit), http.MethodGet, "/audit", "list-audit", tag, "List who changed what, or tried to, newest first")
	list.Description = "Requests of executions and events are not in it: history has them, with who asked."
	register(s, a, list, s.listAudit)
	verify := op(mayAll(access.View, access.Audit), http.MethodGet, "/audit/verify", "verify-audit", tag, "Check every row of the audit")
	verify.Description = "Finds rows that were changed, removed, added or moved. A cut off end is found by the head that is kept on the bus, and by expect."
	registerWithin(s, a, verify, verifyTimeout, s.verifyAudit)
}

type auditFilter struct {
	Paging
	Actor  string `query:"actor" doc:"admin, token:NAME or user:NAME"`
	Kind   string `query:"kind"`
	Object string `query:"object"`
	Action string `query:"action"`
	Since  string `query:"since" doc:"Then or later: a time, or how long ago"`
	Until  string `query:"until" doc:"Before: a time, or how long ago"`
}

func (s *Server) listAudit(ctx context.Context, in *auditFilter) (*reply[wire.Page[wire.AuditEntry]], error) {
	since, until, err := period(in.Since, in.Until)
	if err != nil {
		return nil, err
	}
	earlier := int64(0)
	if in.Cursor != "" {
		if earlier, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || earlier < 1 {
			return nil, history.ErrBadCursor
		}
	}
	found, err := s.audit.List(ctx, audit.Filter{
		Actor: in.Actor, Kind: in.Kind, Object: in.Object, Action: in.Action, Since: since, Until: until,
	}, earlier, in.Limit+1)
	if err != nil {
		return nil, err
	}
	page := wire.Page[wire.AuditEntry]{Items: []wire.AuditEntry{}}
	for _, r := range found[:min(len(found), in.Limit)] {
		page.Items = append(page.Items, auditEntryOf(r))
	}
	if len(found) > in.Limit {
		page.NextCursor = strconv.FormatInt(page.Items[in.Limit-1].Seq, 10)
	}
	return answer(page), nil
}

func auditEntryOf(r audit.Row) wire.AuditEntry {
	return wire.AuditEntry{
		Seq: r.Seq, At: r.At, Actor: r.Actor, Address: r.Address, Action: r.Action, Kind: r.Kind, Object: r.Object, Outcome: string(r.Outcome),
		Detail: r.Detail, Request: r.Request, Before: r.Before, After: r.After, Hash: hex.EncodeToString(r.Hash),
	}
}

type verifyInput struct {
	Expect string `query:"expect" doc:"A head that was noted earlier, SEQ:HASH: the row must still be there"`
}

func (s *Server) verifyAudit(ctx context.Context, in *verifyInput) (*reply[wire.AuditReport], error) {
	var heads []audit.Head
	if in.Expect != "" {
		h, err := audit.ParseHead(in.Expect)
		if err != nil {
			return nil, invalid("expect", audit.ErrHead.Error())
		}
		heads = append(heads, h)
	}
	kept, err := onBus(ctx, s, func(ctx context.Context) ([]audit.Head, error) {
		h, ok, err := audit.Anchored(ctx, s.config.Bus.JS)
		if !ok || err != nil {
			return nil, err
		}
		return []audit.Head{h}, nil
	})
	if err != nil {
		return nil, err
	}
	report, err := s.audit.Verify(ctx, append(heads, kept...)...)
	if err != nil {
		return nil, err
	}
	out := wire.AuditReport{OK: report.OK(), Rows: report.Rows, Head: report.Head.String(), Faults: []wire.AuditFault{}}
	for _, f := range report.Faults {
		out.Faults = append(out.Faults, wire.AuditFault{Seq: f.Seq, Message: f.Message})
	}
	return answer(out), nil
}
