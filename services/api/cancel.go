package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

const (
	// maxCanceled is how many executions one call looks at.
	maxCanceled = 500
	// cancelers is how many are canceled at once: enough to hide the way to NATS, few enough to keep the order.
	cancelers = 8
)

const cancelNote = "Chooses among the executions that history has not seen end. The newest of the waiting come first and those that run last, " +
	"so that none starts that is about to be canceled. One call looks at 500 at most: while the answer has a next_cursor, call again with it and the same filter."

// The passes of canceling, which begin a cursor. The first is over those that wait without a slot, so that none is
// freed. The second is over all that the filter chooses, because one may have got a slot without history knowing.
const (
	passWaiting = "waiting"
	passRest    = "rest"
)

// sweep is one call's part of canceling everything that fits.
type sweep struct {
	filter history.UnfinishedFilter
	pass   string
	at     string // history's cursor within the pass
	budget int    // how many may still be looked at
	looked int    // how many of those that were counted were looked at
	out    wire.CancelResult

	alone atomic.Bool // no scheduler answers: nobody is given a slot
}

type cancelInput struct {
	Body wire.CancelRequest
}

func (s *Server) cancelMatching(ctx context.Context, in *cancelInput) (*reply[wire.CancelResult], error) {
	w, err := newSweep(in.Body)
	if err != nil {
		return nil, err
	}
	w.filter.Packs = s.reach(ctx, access.Operate, access.Executions).Packs()
	if w.out.Matched, err = s.left(ctx, w); err != nil {
		return nil, err
	}
	w.out.Remaining = w.out.Matched
	if in.Body.DryRun {
		return answer(w.out), nil
	}
	if err := s.sweep(ctx, w); err != nil {
		return nil, err
	}
	note(ctx, "", in.Body, map[string]int{"matched": w.out.Matched, "canceled": w.out.Canceled})
	return answer(w.out), nil
}

func newSweep(r wire.CancelRequest) (*sweep, error) {
	if r.Action == "" && r.Rule == "" && len(r.Statuses) == 0 && r.OlderThan == "" && !r.All {
		return nil, invalid("all", "say which executions are meant, or that all are")
	}
	for field, ref := range map[string]string{"action": r.Action, "rule": r.Rule} {
		if _, err := pack.ParseRef(ref); ref != "" && err != nil {
			return nil, invalid(field, "want PACK.NAME")
		}
	}
	before, err := moment("older_than", r.OlderThan)
	if err != nil {
		return nil, err
	}
	w := &sweep{filter: history.UnfinishedFilter{Action: r.Action, Rule: r.Rule, Before: before}, budget: maxCanceled}
	if r.Limit > 0 {
		w.budget = r.Limit
	}
	if w.filter.Statuses, err = cancelable(r.Statuses); err != nil {
		return nil, err
	}
	return w, w.resume(r.Cursor)
}

// cancelable reads which statuses are meant.
func cancelable(statuses []streams.Status) ([]streams.Status, error) {
	both := []streams.Status{streams.Requested, streams.Running}
	if len(statuses) == 0 {
		return both, nil
	}
	for _, status := range statuses {
		if !slices.Contains(both, status) {
			return nil, invalid("statuses", "want requested, running or both, not "+clip(string(status)))
		}
	}
	return statuses, nil
}

// resume goes to where the call before stopped, or to the beginning.
func (w *sweep) resume(cursor string) error {
	if cursor == "" {
		if w.pass = passRest; w.wants(streams.Requested) {
			w.pass = passWaiting
		}
		return nil
	}
	pass, at, ok := strings.Cut(cursor, ".")
	if !ok || pass != passRest && (pass != passWaiting || !w.wants(streams.Requested)) {
		return history.ErrBadCursor
	}
	w.pass, w.at = pass, at
	return nil
}

func (w *sweep) wants(s streams.Status) bool { return slices.Contains(w.filter.Statuses, s) }

// chosen is what the sweep's pass looks at.
func (w *sweep) chosen() history.UnfinishedFilter {
	f := w.filter
	if w.pass == passWaiting {
		f.Statuses = []streams.Status{streams.Requested}
	}
	return f
}

// may tells whether an execution may be canceled in this pass, as it is now.
func (w *sweep) may(f execution.Fact) bool {
	if w.pass == passWaiting {
		return f.Status == streams.Requested && !holdsSlot(f)
	}
	return w.wants(f.Status)
}

// holdsSlot tells whether a requested execution has kept the slot of its attempt before.
func holdsSlot(f execution.Fact) bool { return f.NotBefore != nil && f.Retry != nil && f.Retry.Hold }

// left counts what fits and was not looked at. The second pass counts only those that run: the others were
// counted, and looked at, in the first.
func (s *Server) left(ctx context.Context, w *sweep) (int, error) {
	waiting, running := w.filter, w.filter
	waiting.Statuses, running.Statuses = []streams.Status{streams.Requested}, []streams.Status{streams.Running}
	if w.pass == passRest {
		if !w.wants(streams.Running) {
			return 0, nil
		}
		return s.history.CountUnfinished(ctx, running, history.Page{Cursor: w.at})
	}
	n, err := s.history.CountUnfinished(ctx, waiting, history.Page{Cursor: w.at})
	if err != nil || !w.wants(streams.Running) {
		return n, err
	}
	m, err := s.history.CountUnfinished(ctx, running, history.Page{})
	return n + m, err
}

// sweep goes on until everything or the budget is done.
func (s *Server) sweep(ctx context.Context, w *sweep) error {
	for w.budget > 0 {
		items, next, err := s.history.ListUnfinished(ctx, w.chosen(), history.Page{Cursor: w.at, Limit: w.budget})
		if err != nil {
			return err
		}
		if err := s.cancelAll(ctx, w, items); err != nil {
			return err
		}
		w.account(items)
		switch w.at = next; {
		case next == "" && w.pass == passRest:
			w.out.Remaining, w.out.NextCursor = 0, ""
			return nil
		case next == "":
			w.pass = passRest
		}
	}
	w.out.Remaining, w.out.NextCursor = max(w.out.Matched-w.looked, 0), w.pass+"."+w.at
	return nil
}

func (w *sweep) account(items []history.Unfinished) {
	w.budget -= len(items)
	for _, x := range items {
		if w.pass == passWaiting || x.Status == streams.Running {
			w.looked++
		}
	}
}

// cancelAll cancels a page, a few at once and in its order.
func (s *Server) cancelAll(ctx context.Context, w *sweep, items []history.Unfinished) error {
	var canceled atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cancelers)
	for _, x := range items {
		g.Go(func() error {
			did, err := s.cancelOne(ctx, w, x)
			if did {
				canceled.Add(1)
			}
			return err
		})
	}
	err := g.Wait()
	w.out.Canceled += int(canceled.Load())
	return err
}

func (s *Server) cancelOne(ctx context.Context, w *sweep, x history.Unfinished) (bool, error) {
	if w.pass == passWaiting && s.hasSlot(ctx, w, x.ID) {
		return false, nil
	}
	did, err := onBus(ctx, s, func(ctx context.Context) (bool, error) {
		_, did, err := s.facts.CancelIf(ctx, x.Action, x.ID, caller(ctx), w.may)
		return did, err
	})
	if errors.Is(err, execution.ErrNotFound) { // it has left the bus: history will see its end
		return false, nil
	}
	return did, err
}

// hasSlot asks the leading scheduler whether an execution has been given a slot, which it has before its runner
// says that it runs.
func (s *Server) hasSlot(ctx context.Context, w *sweep, id string) bool {
	if w.alone.Load() {
		return false
	}
	p, err := s.position(ctx, id, 0)
	if err != nil {
		w.alone.Store(true)
		return false
	}
	return p.Known && p.Position == 0
}
