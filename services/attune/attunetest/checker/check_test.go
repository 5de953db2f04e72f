package checker

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/attune/attune/streams"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func id(n int) string { return fmt.Sprintf("x%d", n) }

// story builds a history by hand.
type story struct{ History }

func tell(limit int, numbers ...int) *story {
	s := &story{History{Limit: limit}}
	for _, n := range numbers {
		s.Requests = append(s.Requests, Request{n, id(n)})
	}
	return s
}

func (s *story) start(n, attempt, ms int) *story {
	s.Marks = append(s.Marks, Mark{N: n, Attempt: attempt, At: at(ms), PID: n})
	return s
}

func (s *story) end(n, attempt, ms int) *story {
	s.Marks = append(s.Marks, Mark{End: true, N: n, Attempt: attempt, At: at(ms), PID: n})
	return s
}

func (s *story) is(n int, status streams.Status, attempt, ms int) *story {
	end := at(ms)
	s.Executions = append(s.Executions, Execution{ID: id(n), Status: status, Attempt: attempt, EndedAt: &end})
	return s
}

// holding is tell for two attempts that keep their slot in between.
func holding(limit int, numbers ...int) *story {
	s := tell(limit, numbers...)
	s.Hold, s.Attempts = true, 2
	return s
}

// every adds a rate to a story.
func every(ms int, s *story) *story {
	s.Every = time.Duration(ms) * time.Millisecond
	return s
}

// ran is a whole life without accidents.
func (s *story) ran(n, from, to int) *story {
	return s.start(n, 1, from).end(n, 1, to).is(n, streams.Succeeded, 1, to+1)
}

func TestWhatIsWrongIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		told *story
		want error
	}{
		"inversion at limit 1":                {tell(1, 1, 2).ran(2, 0, 5).ran(1, 10, 15), ErrOrder},
		"inversion beyond limit 2":            {tell(2, 1, 2, 3).ran(3, 0, 5).ran(1, 10, 15).ran(2, 11, 16), ErrOrder},
		"somebody passed who kept his slot":   {holding(1, 1, 2).start(1, 1, 0).end(1, 1, 5).ran(2, 6, 9).start(1, 2, 10).end(1, 2, 15).is(1, "succeeded", 2, 16), ErrOrder},
		"more starts than the rate":           {every(100, tell(1, 1, 2, 3, 4)).ran(1, 0, 5).ran(2, 10, 15).ran(3, 110, 115).ran(4, 120, 125), ErrRate},
		"overlap at limit 1":                  {tell(1, 1, 2).start(1, 1, 0).start(2, 1, 3).end(1, 1, 5).end(2, 1, 9).is(1, "succeeded", 1, 6).is(2, "succeeded", 1, 10), ErrLimit},
		"overlap of three at limit 2":         {tell(2, 1, 2, 3).ran(1, 0, 9).ran(2, 1, 9).ran(3, 2, 9), ErrLimit},
		"a killed one holds its slot":         {tell(1, 1, 2).start(1, 1, 0).is(1, "lost", 1, 20).ran(2, 10, 15), ErrLimit},
		"an attempt twice":                    {tell(1, 1).start(1, 1, 0).start(1, 1, 10).end(1, 1, 15).is(1, "succeeded", 1, 16), ErrRepeated},
		"a second attempt without policy":     {tell(1, 1).start(1, 1, 0).start(1, 2, 10).end(1, 2, 15).is(1, "succeeded", 2, 16), ErrRepeated},
		"two executions for one request":      {tell(1, 1).ran(1, 0, 5).is(7, "canceled", 1, 9), ErrRepeated},
		"two ids for one number":              {&story{History{Limit: 1, Requests: []Request{{1, "x1"}, {1, "x2"}}}}, ErrRepeated},
		"one id for two numbers":              {&story{History{Limit: 1, Requests: []Request{{1, "x1"}, {2, "x1"}}}}, ErrRepeated},
		"an execution listed twice":           {tell(1, 1).ran(1, 0, 5).is(1, "succeeded", 1, 6), ErrRepeated},
		"a run that nobody asked for":         {tell(1, 1).ran(1, 0, 5).start(9, 1, 10), ErrRepeated},
		"an end twice":                        {tell(1, 1).ran(1, 0, 5).end(1, 1, 6), ErrRepeated},
		"an execution that is unknown":        {tell(1, 1, 2).ran(1, 0, 5), ErrMissing},
		"an execution that still waits":       {tell(1, 1).is(1, "requested", 1, 0), ErrMissing},
		"an execution that still runs":        {tell(1, 1).start(1, 1, 0).is(1, "running", 1, 0), ErrMissing},
		"success without a start":             {tell(1, 1).is(1, "succeeded", 1, 5), ErrStatus},
		"success without an end":              {tell(1, 1).start(1, 1, 0).is(1, "succeeded", 1, 5), ErrStatus},
		"failure without a start":             {tell(1, 1).is(1, "failed", 1, 5), ErrStatus},
		"success before the end":              {tell(1, 1).start(1, 1, 0).end(1, 1, 50).is(1, "succeeded", 1, 10), ErrStatus},
		"an attempt that the API misses":      {retried(tell(1, 1).start(1, 1, 0).start(1, 2, 9).end(1, 2, 12).is(1, "lost", 1, 5)), ErrStatus},
		"an end without a start":              {tell(1, 1).end(1, 1, 3).is(1, "lost", 1, 5), ErrStatus},
		"more attempts than the policy":       {retried(tell(1, 1).start(1, 3, 0).is(1, "lost", 3, 5)), ErrRepeated},
		"an end that the API has no time for": {&story{History{Limit: 1, Requests: []Request{{1, "x1"}}, Executions: []Execution{{ID: "x1", Status: "lost", Attempt: 1}}}}, ErrStatus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := c.told.Check()
			if !slices.ContainsFunc(found, func(err error) bool { return errors.Is(err, c.want) }) {
				t.Errorf("found %v, want %v", found, c.want)
			}
		})
	}
}

func retried(s *story) *story {
	s.Attempts = 2
	return s
}

func TestWhatIsAllowedIsNotReported(t *testing.T) {
	t.Parallel()
	previous := func(s *story, ended int) *story {
		end := at(ended)
		s.Executions[0].Previous = []streams.Attempt{{Attempt: 1, Status: streams.Lost, EndedAt: &end}}
		return retried(s)
	}
	for name, told := range map[string]*story{
		"one behind who kept his slot":             holding(1, 1, 2).start(1, 1, 0).end(1, 1, 5).start(1, 2, 6).end(1, 2, 9).is(1, "succeeded", 2, 9).ran(2, 10, 15),
		"starts as the rate allows":                every(100, tell(1, 1, 2, 3)).ran(1, 0, 5).ran(2, 100, 105).ran(3, 110, 115),
		"nothing at all":                           tell(1),
		"one after the other":                      tell(1, 1, 2).ran(1, 0, 5).ran(2, 7, 9),
		"two slots race for the first instruction": tell(2, 1, 2, 3).ran(2, 0, 5).ran(1, 1, 6).ran(3, 8, 9),
		"lost before it started":                   tell(1, 1, 2).is(1, "lost", 1, 5).ran(2, 7, 9),
		"canceled before it started":               tell(1, 1, 2).is(1, "canceled", 1, 5).ran(2, 1, 9),
		"lost while it ran":                        tell(1, 1, 2).start(1, 1, 0).is(1, "lost", 1, 5).ran(2, 7, 9),
		"given up with its runner, which went on":  tell(1, 1, 2).start(1, 1, 0).ran(2, 12, 15).end(1, 1, 20).is(1, "lost", 1, 10),
		"repeated as the policy says":              previous(tell(1, 1).start(1, 1, 0).start(1, 2, 20).end(1, 2, 25).is(1, "succeeded", 2, 26), 10),
		"repeated behind another":                  previous(tell(1, 1, 2).start(1, 1, 0).is(1, "succeeded", 2, 26).ran(2, 12, 15).start(1, 2, 20).end(1, 2, 25), 10),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := told.Check(); len(found) > 0 {
				t.Errorf("found %v", found)
			}
		})
	}
}

// Any schedule that keeps order and limit passes; the same schedule with two starts exchanged does not, where
// they are further apart than the slots.
func TestEverySchedulePassesUntilItIsBroken(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit, count := rapid.IntRange(1, 4).Draw(t, "limit"), rapid.IntRange(6, 30).Draw(t, "count")
		h := schedule(limit, count, func() int { return rapid.IntRange(1, 20).Draw(t, "run") })
		if found := h.Check(); len(found) > 0 {
			t.Fatalf("found %v", found)
		}
		h.Requests = slices.Clone(h.Requests)
		i := rapid.IntRange(0, count-limit-1).Draw(t, "late")
		late := h.Requests[i]
		h.Requests = slices.Insert(slices.Delete(h.Requests, i, i+1), i+limit, late)
		if found := h.Check(); limit == 1 && !slices.ContainsFunc(found, func(err error) bool { return errors.Is(err, ErrOrder) }) {
			t.Fatalf("%d requested after %d others: found %v", late.N, limit, found)
		}
	})
}

// schedule runs so many executions in order, each as soon as a slot is free.
func schedule(limit, count int, takes func() int) History {
	s := tell(limit)
	free := make([]int, limit) // when each slot is free
	var marks []Mark
	for n := range count {
		slot := slices.Index(free, slices.Min(free))
		from := free[slot] + 1
		to := from + takes()
		free[slot] = to + 1
		s.Requests = append(s.Requests, Request{n, id(n)})
		marks = append(marks, Mark{N: n, Attempt: 1, At: at(from)}, Mark{End: true, N: n, Attempt: 1, At: at(to)})
		s.is(n, streams.Succeeded, 1, to)
	}
	slices.SortStableFunc(marks, func(a, b Mark) int { return a.At.Compare(b.At) })
	s.Marks = marks
	return s.History
}

func TestMarksAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	want := []Mark{{N: 1, Attempt: 1, At: time.Unix(0, 17), PID: 4}, {End: true, N: 1, Attempt: 2, At: time.Unix(3, 5), PID: 9}}
	text := want[0].String() + "\n" + want[1].String() + "\n"
	got, err := readMarks(strings.NewReader(text))
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v: %s", err, cmp.Diff(want, got))
	}
	for written := range len(text) {
		got, err := readMarks(strings.NewReader(text[:written]))
		if lines := strings.Count(text[:written], "\n"); err != nil || !cmp.Equal(got, want[:lines], cmpopts.EquateEmpty()) {
			t.Errorf("%d bytes of it: %v, %v", written, got, err)
		}
	}
	for _, line := range []string{"", "stop 1 1 1 1", "start 1 1 1", "start one 1 1 1"} {
		if _, err := ParseMark(line); !errors.Is(err, ErrLine) {
			t.Errorf("%q: %v", line, err)
		}
	}
	if marks, err := ReadMarks(filepath.Join(t.TempDir(), "none")); marks != nil || err != nil {
		t.Errorf("no file: %v, %v", marks, err)
	}
}
