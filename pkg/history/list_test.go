package history_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// spread makes executions and events of many weeks, some at the same moment, some of times that cannot be right.
func spread(t *testing.T, s *history.Store) (facts []history.FactAt, events []history.Received) {
	t.Helper()
	if _, err := s.MakePartitions(t.Context(), origin.Add(10*week)); err != nil {
		t.Fatal(err)
	}
	ends := execution.Statuses()
	for i := range 90 {
		when := origin.Add(time.Duration(i/3*37) * 24 * time.Hour / 10)
		if i%30 == 29 {
			when = time.Unix(int64(i), 0).UTC()
		}
		id := execution.NewID()
		if i%2 == 0 {
			id = derived(fmt.Sprint("spread", i))
		}
		f := at(when, life(id, 1)...)[0]
		f.Status = ends[i%len(ends)]
		f.Fact = plausible(f.Fact)
		f.Action = fmt.Sprintf("p%d.a%d", i%3, i%4)
		if i%5 > 0 {
			f.Rule, f.Event = fmt.Sprintf("p.r%d", i%2), derived(fmt.Sprint("e", i%7))
		}
		facts = append(facts, f)
		e := received(derived(fmt.Sprint("event", i)), uint64(i))
		e.ReceivedAt, e.Trigger = when, fmt.Sprintf("p%d.t%d", i%3, i%2)
		if i%6 == 0 {
			e.Reason, e.Raw, e.Payload = "bad", []byte("{"), nil
		}
		events = append(events, e)
	}
	apply(t, s, facts...)
	if err := s.ApplyEvents(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	return facts, events
}

// oneOf gives one of the values, or mostly none.
func oneOf[T any](t *rapid.T, name string, values ...T) (v T) {
	if rapid.IntRange(0, 2).Draw(t, name+" is asked for") == 0 {
		return rapid.SampledFrom(values).Draw(t, name)
	}
	return v
}

// newestFirst gives the ids in the order of lists.
func newestFirst[T any](rows []T, of func(T) (time.Time, string)) (ids []string) {
	slices.SortFunc(rows, func(a, b T) int {
		atA, idA := of(a)
		atB, idB := of(b)
		return cmp.Or(atB.Compare(atA), cmp.Compare(idB, idA))
	})
	for _, r := range rows {
		_, id := of(r)
		ids = append(ids, id)
	}
	return ids
}

func inPacks(packs []string, ref string) bool {
	name, _, _ := strings.Cut(ref, ".")
	return packs == nil || slices.Contains(packs, name)
}

func within(at, since, until time.Time) bool {
	return (since.IsZero() || !at.Before(since)) && (until.IsZero() || at.Before(until))
}

// Whatever is asked for, in pages of whatever size, over however many partitions: the rows that it chooses, each once,
// newest first.
func TestPagesAreTheSortedRowsThatAFilterChooses(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	facts, _ := spread(t, s)
	rapid.Check(t, func(rt *rapid.T) {
		some := rapid.SampledFrom(facts).Draw(rt, "one")
		f := history.ExecutionFilter{
			Action: oneOf(rt, "action", some.Action, "p0.none"), Rule: oneOf(rt, "rule", some.Rule), Event: oneOf(rt, "event", some.Event),
			Since: oneOf(rt, "since", some.RequestedAt, some.RequestedAt.Add(-3*week)), Until: oneOf(rt, "until", some.RequestedAt, some.RequestedAt.Add(5*week)),
			Statuses: oneOf(rt, "statuses", rapid.SliceOfN(rapid.SampledFrom(append(execution.Statuses(), "none")), 0, 4).Draw(rt, "some")),
			Packs:    oneOf(rt, "packs", []string{}, []string{"p0"}, []string{"p1", "none"}, []string{"p0", "p2"}),
		}
		var chosen []history.FactAt
		for _, x := range facts {
			if (f.Action == "" || f.Action == x.Action) && (f.Rule == "" || f.Rule == x.Rule) && (f.Event == "" || f.Event == x.Event) &&
				within(x.RequestedAt, f.Since, f.Until) && (f.Statuses == nil || slices.Contains(f.Statuses, x.Status)) && inPacks(f.Packs, x.Action) {
				chosen = append(chosen, x)
			}
		}
		want := newestFirst(chosen, func(x history.FactAt) (time.Time, string) { return x.RequestedAt, x.ID })
		var got []string
		for _, e := range pages(t, s, f, rapid.IntRange(1, 40).Draw(rt, "limit")) {
			got = append(got, e.ID)
		}
		if d := gocmp.Diff(want, got); d != "" {
			rt.Fatalf("%+v: %s", f, d)
		}
	})
}

func TestPagesOfEventsAreTheSortedRowsThatAFilterChooses(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	_, events := spread(t, s)
	status := func(e history.Received) streams.EventStatus {
		if e.Reason != "" {
			return streams.EventRejected
		}
		return streams.EventReceived
	}
	rapid.Check(t, func(rt *rapid.T) {
		some := rapid.SampledFrom(events).Draw(rt, "one")
		f := history.EventFilter{
			Trigger: oneOf(rt, "trigger", some.Trigger, "p0.none"), Status: oneOf(rt, "status", streams.EventRejected, streams.EventReceived, streams.EventDecided, "none"),
			Since: oneOf(rt, "since", some.ReceivedAt), Until: oneOf(rt, "until", some.ReceivedAt.Add(5*week)),
			Packs: oneOf(rt, "packs", []string{}, []string{"p0"}, []string{"p1", "none"}, []string{"p0", "p2"}),
		}
		var chosen []history.Received
		for _, x := range events {
			if (f.Trigger == "" || f.Trigger == x.Trigger) && (f.Status == "" || f.Status == status(x)) && within(x.ReceivedAt, f.Since, f.Until) && inPacks(f.Packs, x.Trigger) {
				chosen = append(chosen, x)
			}
		}
		want := newestFirst(chosen, func(x history.Received) (time.Time, string) { return x.ReceivedAt, x.ID })
		var got []string
		for p, first := (history.Page{Limit: rapid.IntRange(1, 40).Draw(rt, "limit")}), true; first || p.Cursor != ""; first = false {
			page, err := s.ListEvents(t.Context(), f, p)
			if err != nil {
				rt.Fatal(err)
			}
			for _, e := range page.Items {
				got = append(got, e.ID)
			}
			p.Cursor = page.Next
		}
		if d := gocmp.Diff(want, got); d != "" {
			rt.Fatalf("%+v: %s", f, d)
		}
	})
}
