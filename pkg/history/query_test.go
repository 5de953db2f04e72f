package history_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// fill makes executions in pairs that were requested at the same moment.
func fill(t *testing.T, s *history.Store, n int) {
	t.Helper()
	for i := range n {
		f := life(execution.NewID(), uint64(i/2*10+1), streams.Running, streams.Succeeded)
		switch i % 3 {
		case 1:
			f = f[:2]
			f[0].Action, f[1].Action = "core.sleep", "core.sleep"
		case 2:
			for j := range f {
				f[j].Rule, f[j].Event = "core.r", uuid.NewSHA1(uuid.Nil, []byte("e")).String()
			}
		}
		apply(t, s, f...)
	}
}

func pages(t *testing.T, s *history.Store, f history.ExecutionFilter, limit int) (all []history.Execution) {
	t.Helper()
	p := history.Page{Limit: limit}
	for {
		page, err := s.ListExecutions(context.Background(), f, p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		if len(page.Items) != limit {
			t.Fatalf("a page of %d with a next one, want %d", len(page.Items), limit)
		}
		p.Cursor = page.Next
	}
}

func TestPagesHoldEverythingOnceNewestFirst(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	fill(t, s, 21)
	whole := pages(t, s, history.ExecutionFilter{}, history.MaxLimit)
	if len(whole) != 21 || !slices.IsSortedFunc(whole, func(a, b history.Execution) int { return b.RequestedAt.Compare(a.RequestedAt) }) {
		t.Errorf("%d executions, or not newest first", len(whole))
	}
	for _, limit := range []int{1, 2, 5, 21} {
		got := pages(t, s, history.ExecutionFilter{}, limit)
		if !slices.EqualFunc(whole, got, func(a, b history.Execution) bool { return a.ID == b.ID }) {
			t.Errorf("pages of %d hold something else", limit)
		}
	}
}

func TestFiltersChooseExecutions(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	fill(t, s, 12)
	for name, c := range map[string]struct {
		filter history.ExecutionFilter
		want   int
	}{
		"all":                {history.ExecutionFilter{}, 12},
		"one action":         {history.ExecutionFilter{Action: "core.sleep"}, 4},
		"no such action":     {history.ExecutionFilter{Action: "core.other"}, 0},
		"one status":         {history.ExecutionFilter{Statuses: []streams.Status{streams.Running}}, 4},
		"two statuses":       {history.ExecutionFilter{Statuses: []streams.Status{streams.Running, streams.Succeeded}}, 12},
		"one rule":           {history.ExecutionFilter{Rule: "core.r"}, 4},
		"one event":          {history.ExecutionFilter{Event: uuid.NewSHA1(uuid.Nil, []byte("e")).String()}, 4},
		"since the third":    {history.ExecutionFilter{Since: origin.Add(21 * time.Second)}, 8},
		"until the third":    {history.ExecutionFilter{Until: origin.Add(21 * time.Second)}, 4},
		"action and status":  {history.ExecutionFilter{Action: "core.sleep", Statuses: []streams.Status{streams.Succeeded}}, 0},
		"rule, from the 3rd": {history.ExecutionFilter{Rule: "core.r", Since: origin.Add(21 * time.Second)}, 3},
	} {
		if got := pages(t, s, c.filter, 5); len(got) != c.want {
			t.Errorf("%s: %d, want %d", name, len(got), c.want)
		}
	}
}

func TestWhatCannotBeUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	s, ctx := history.New(dbtest.New(t)), context.Background()
	for _, c := range []string{"x", "AA", strings.Repeat("A", 34), strings.Repeat("_", 34), "💥"} {
		if _, err := s.ListExecutions(ctx, history.ExecutionFilter{}, history.Page{Cursor: c}); !errors.Is(err, history.ErrBadCursor) {
			t.Errorf("cursor %q: %v", c, err)
		}
		if _, err := s.ListEvents(ctx, history.EventFilter{}, history.Page{Cursor: c}); !errors.Is(err, history.ErrBadCursor) {
			t.Errorf("cursor %q: %v", c, err)
		}
	}
	if _, err := s.ListExecutions(ctx, history.ExecutionFilter{Event: "x"}, history.Page{}); !errors.Is(err, history.ErrBadFilter) {
		t.Errorf("filter: %v", err)
	}
	for _, id := range []string{"", "x", uuid.Nil.String(), "{" + uuid.Nil.String() + "}"} {
		if _, err := s.Execution(ctx, id); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("execution %q: %v", id, err)
		}
		if _, err := s.Event(ctx, id); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("event %q: %v", id, err)
		}
	}
}

func FuzzCursorsNeverPanicAndReturn(f *testing.F) {
	f.Add("")
	f.Add("AQAGAA")
	f.Fuzz(func(t *testing.T, c string) { history.CheckCursor(t, c) })
}

func TestUnfinishedAndExisting(t *testing.T) {
	t.Parallel()
	s, ctx := history.New(dbtest.New(t)), context.Background()
	requested, ended := life(execution.NewID(), 1), life(execution.NewID(), 11, streams.Canceled)
	running := life(execution.NewID(), 21, streams.Running)
	apply(t, s, slices.Concat(requested, ended, running)...)
	got, err := s.Unfinished(ctx)
	want := []history.Unfinished{
		{ID: requested[0].ID, Action: "core.echo", Status: streams.Requested, Attempt: 1}, {ID: running[0].ID, Action: "core.echo", Status: streams.Running, Attempt: 1},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("unfinished: %v, %v", got, err)
	}
	known, err := s.Exists(ctx, []string{ended[0].ID, execution.NewID(), "x", ""})
	if err != nil || len(known) != 1 || !known[ended[0].ID] {
		t.Errorf("exists: %v, %v", known, err)
	}
}

// Those that have not ended come newest first, in pages, and are counted from any place on.
func TestUnfinishedExecutionsAreChosenAndCounted(t *testing.T) {
	t.Parallel()
	s, ctx := history.New(dbtest.New(t)), context.Background()
	fill(t, s, 12) // every third runs: core.sleep
	for i := range 6 {
		f := life(execution.NewID(), uint64(200+10*i))
		if i%2 == 0 {
			f[0].Rule = "core.r"
		}
		apply(t, s, f...)
	}
	asking := []streams.Status{streams.Requested}
	for name, c := range map[string]struct {
		filter history.UnfinishedFilter
		want   int
	}{
		"all":                {history.UnfinishedFilter{}, 10},
		"one action":         {history.UnfinishedFilter{Action: "core.sleep"}, 4},
		"one rule":           {history.UnfinishedFilter{Rule: "core.r"}, 3},
		"waiting":            {history.UnfinishedFilter{Statuses: asking}, 6},
		"waiting of a rule":  {history.UnfinishedFilter{Statuses: asking, Rule: "core.r"}, 3},
		"before":             {history.UnfinishedFilter{Before: origin.Add(220 * time.Second)}, 6},
		"ended":              {history.UnfinishedFilter{Statuses: []streams.Status{streams.Succeeded}}, 0},
		"waiting and before": {history.UnfinishedFilter{Statuses: asking, Before: origin.Add(220 * time.Second)}, 2},
	} {
		var all []history.Unfinished
		p := history.Page{Limit: 4}
		for first := true; first || p.Cursor != ""; first = false {
			left, err := s.CountUnfinished(ctx, c.filter, p)
			if err != nil || left != c.want-len(all) {
				t.Errorf("%s: %d are counted behind %d, %v", name, left, len(all), err)
			}
			items, next, err := s.ListUnfinished(ctx, c.filter, p)
			if err != nil {
				t.Fatal(err)
			}
			all, p.Cursor = append(all, items...), next
		}
		if len(all) != c.want {
			t.Errorf("%s: %d, want %d", name, len(all), c.want)
		}
		for i := range len(all) - 1 {
			if a, b := show(t, s, all[i].ID), show(t, s, all[i+1].ID); a.RequestedAt.Before(b.RequestedAt) {
				t.Errorf("%s: %s stands before the newer %s", name, a.ID, b.ID)
			}
		}
	}
	if _, _, err := s.ListUnfinished(ctx, history.UnfinishedFilter{}, history.Page{Cursor: "x"}); !errors.Is(err, history.ErrBadCursor) {
		t.Errorf("cursor: %v", err)
	}
}

func TestListsLeaveLargeDocumentsOut(t *testing.T) {
	t.Parallel()
	s, ctx := history.New(dbtest.New(t)), context.Background()
	large := life(execution.NewID(), 1)
	large[0].Parameters = []byte(`"` + noise(20_000) + `"`)
	apply(t, s, large...)
	e := received(event.NewID(), 1)
	e.Payload = large[0].Parameters
	if err := s.ApplyEvents(ctx, []history.Received{e}, nil); err != nil {
		t.Fatal(err)
	}
	if got := pages(t, s, history.ExecutionFilter{}, 5)[0]; got.Parameters != nil {
		t.Errorf("%d bytes of parameters in a list", len(got.Parameters))
	}
	events, err := s.ListEvents(ctx, history.EventFilter{Trigger: "core.webhook", Status: streams.EventReceived}, history.Page{})
	if err != nil || len(events.Items) != 1 || events.Items[0].Payload != nil {
		t.Errorf("events: %+v, %v", events, err)
	}
}

// noise is text that does not compress.
func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(uuid.NewString())
	}
	return b.String()
}
