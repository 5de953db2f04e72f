package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/retention"
)

func (s *Server) routeRetention(a huma.API) {
	const tag = "Retention"
	register(s, a, op(mayAll(access.View, access.Executions), http.MethodGet, "/retention", "show-retention", tag,
		"Show which logs are kept, and how the last sweep went"), s.showRetention)
	sweep := op(mayAll(access.Operate, access.Executions), http.MethodPost, "/retention/sweep", "sweep-logs", tag,
		"Remove what no policy keeps, in the background, or tell what that is", http.StatusConflict)
	sweep.DefaultStatus = http.StatusAccepted
	register(s, a, sweep, s.sweepLogs)
}

func (s *Server) ledger() retention.Ledger { return retention.Ledger{DB: s.config.DB} }

func (s *Server) showRetention(ctx context.Context, _ *struct{}) (*reply[wire.Retention], error) {
	st, _, err := s.ledger().Read(ctx)
	if err != nil {
		return nil, err
	}
	out := wire.Retention{Logs: policyOf(st.Policies.Logs), History: retention.Age(st.Policies.History), Every: retention.Age(st.Every), NextAt: given(st.NextAt)}
	for action, p := range st.Policies.Actions {
		if out.Actions == nil {
			out.Actions = map[string]wire.RetentionPolicy{}
		}
		out.Actions[action] = policyOf(p)
	}
	if out.StoredBytes, err = onBus(ctx, s, s.logs.BucketBytes); err != nil {
		return nil, err
	}
	if sw := st.Sweep; sw != nil {
		out.Sweep = &wire.RetentionSweep{
			StartedAt: sw.StartedAt, EndedAt: given(sw.EndedAt), Why: sw.Why, Error: sw.Error, Report: reportOf(sw.Report),
		}
	}
	return answer(out), nil
}

type sweepInput struct {
	DryRun bool `query:"dry_run" doc:"Only tell what would be removed"`
}

// dryRunPatience bounds how long a dry run may take.
const dryRunPatience = time.Minute

func (s *Server) sweepLogs(ctx context.Context, in *sweepInput) (*reply[wire.RetentionAsked], error) {
	if in.DryRun {
		return s.drySweep(ctx)
	}
	at, err := s.ledger().Ask(ctx, caller(ctx))
	if err != nil {
		return nil, err
	}
	return answer(wire.RetentionAsked{RequestedAt: &at}), nil
}

func (s *Server) drySweep(ctx context.Context) (*reply[wire.RetentionAsked], error) {
	ctx, cancel := context.WithTimeout(ctx, dryRunPatience)
	defer cancel()
	st, _, err := s.ledger().Read(ctx)
	if err != nil {
		return nil, err
	}
	if st.Sweep == nil {
		return nil, conflict("no recorder has said yet which logs are kept; is one running?")
	}
	snap, err := definitions.New(s.config.DB).Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	p := st.Policies
	p.Actions = retention.OfActions(snap)
	sweeper := &retention.Sweeper{DB: s.config.DB, Bus: s.config.Bus, Logs: s.logs, Policies: p, Versions: retention.VersionsOf(snap)}
	found, err := sweeper.DryRun(ctx)
	if err != nil {
		return nil, err
	}
	r := reportOf(found)
	return answer(wire.RetentionAsked{WouldRemove: &r}), nil
}

func policyOf(p retention.Policy) wire.RetentionPolicy {
	return wire.RetentionPolicy{Age: retention.Age(p.Age), Count: p.Count, Bytes: p.Bytes}
}

func reportOf(r retention.Report) wire.RetentionReport {
	out := wire.RetentionReport{Kept: totalOf(r.Kept), Removed: totalOf(r.Removed), Others: totalOf(r.Others), Executions: r.Executions, Events: r.Events, Dropped: r.Dropped, Busy: r.Busy}
	for _, p := range r.Parts {
		out.Parts = append(out.Parts, wire.RetentionPart{Action: p.Action, By: p.By, RetentionTotal: totalOf(p.Total)})
	}
	return out
}

func totalOf(t retention.Total) wire.RetentionTotal {
	return wire.RetentionTotal{Logs: t.Logs, Bytes: t.Bytes, Oldest: given(t.Oldest), Newest: given(t.Newest)}
}

// given is a time that there is.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// ownPolicy is what an action says of its logs, if anything.
func ownPolicy(a pack.Action) *wire.RetentionPolicy {
	p := policyOf(retention.OfAction(a))
	if p == (wire.RetentionPolicy{}) {
		return nil
	}
	return &p
}
