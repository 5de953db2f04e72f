package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// onceKey compiles the key of a once_per; nil when there is none.
func onceKey(o *pack.OncePer) (*expression.Key, error) {
	if o == nil || o.Key == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	return expression.NewEventKey(o.Key)
}

// window notes into which window of once_per an event that matched falls.
func (r *readyRule) window(ctx context.Context, vars map[string]any, t *tested) (err error) {
	o := r.rule.OncePer
	if o == nil {
		return nil
	}
	if r.once != nil {
		if t.key, err = r.once.Eval(ctx, vars); err != nil {
			return fmt.Errorf("once_per: %w", err)
		}
	}
	t.OncePer = o.For(t.key) + ": suppressed if another went through less than that before it"
	if o.Take == pack.TakeLast {
		t.OncePer = o.For(t.key) + ": when the window ends, unless another comes before that"
	}
	return nil
}

// suppress makes matches suppressed as once_per would have, had no window been open before the first of them. The
// results are newest first. It tells how many it suppressed.
func suppress(results []tested, o pack.OncePer) (n int) {
	type window struct {
		opened  time.Time
		through int // whose turn it is, in the results
	}
	open := map[string]window{} // by key
	for i := range slices.Backward(results) {
		t := &results[i]
		if t.Outcome != streams.Matched {
			continue
		}
		w, ok := open[t.key]
		switch {
		case !ok || t.receivedAt.Sub(w.opened) >= time.Duration(o.Window):
			open[t.key] = window{opened: t.receivedAt, through: i}
			continue
		case o.Take == pack.TakeLast:
			results[w.through].yield(o, *t)
			open[t.key] = window{opened: w.opened, through: i}
		default:
			t.yield(o, results[w.through])
		}
		n++
	}
	return n
}

// yield makes a match a suppressed one, because another event of its window goes through.
func (t *tested) yield(o pack.OncePer, to tested) {
	t.Outcome = streams.Suppressed
	t.Reason = fmt.Sprintf("%s: event %s at %s", o.For(t.key), to.Event, to.receivedAt.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}
