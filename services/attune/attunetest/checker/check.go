package checker

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// What may be wrong with a history. Each finding wraps one of them and says what it is about.
var (
	ErrOrder    = errors.New("started before its turn")
	ErrLimit    = errors.New("more at once than the limit")
	ErrRate     = errors.New("more in a time than the rate")
	ErrRepeated = errors.New("ran or was requested more often than it may")
	ErrMissing  = errors.New("was requested and did not end")
	ErrStatus   = errors.New("status contradicts what happened")
)

// Check finds everything that is wrong.
func (h History) Check() []error {
	c := newCheck(h)
	c.identities()
	c.starts()
	c.order()
	c.held()
	c.limit()
	c.rate()
	c.ends()
	return c.found
}

// run is one attempt, as its action noted it.
type run struct {
	n, attempt int
	started    time.Time
	ended      *time.Time // nil: it noted no end
}

type attempt struct{ n, attempt int }

// check is a history put in order.
type check struct {
	History
	executions map[string]Execution
	place      map[int]int // of a number, in the order of the requests
	runs       map[attempt]*run
	found      []error
}

func newCheck(h History) *check {
	h.Attempts = max(h.Attempts, 1)
	c := &check{History: h, executions: map[string]Execution{}, place: map[int]int{}, runs: map[attempt]*run{}}
	for _, x := range h.Executions {
		c.executions[x.ID] = x
	}
	return c
}

func (c *check) report(kind error, format string, args ...any) {
	c.found = append(c.found, fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...)))
}

// identities checks that every number is one execution and that nobody made another.
func (c *check) identities() {
	asked := map[string]int{}
	for i, r := range c.Requests {
		if at, twice := c.place[r.N]; twice {
			c.report(ErrRepeated, "%d is the execution %s and %s", r.N, c.Requests[at].ID, r.ID)
			continue
		}
		if other, taken := asked[r.ID]; taken {
			c.report(ErrRepeated, "%s is the execution of %d and of %d", r.ID, other, r.N)
		}
		c.place[r.N], asked[r.ID] = i, r.N
	}
	seen := map[string]bool{}
	for _, x := range c.Executions {
		if _, known := asked[x.ID]; !known {
			c.report(ErrRepeated, "nobody asked for execution %s", x.ID)
		}
		if seen[x.ID] {
			c.report(ErrRepeated, "execution %s is listed twice", x.ID)
		}
		seen[x.ID] = true
	}
}

// starts pairs starts with ends and checks how often each began.
func (c *check) starts() {
	for _, m := range c.Marks {
		key := attempt{m.N, m.Attempt}
		was := c.runs[key]
		_, asked := c.place[m.N]
		switch {
		case !asked:
			c.report(ErrRepeated, "%d ran, which nobody asked for", m.N)
		case m.End && was == nil:
			c.report(ErrStatus, "%d ended attempt %d without a start", m.N, m.Attempt)
		case m.End && was.ended != nil:
			c.report(ErrRepeated, "%d ended attempt %d twice", m.N, m.Attempt)
		case m.End:
			was.ended = &m.At
		case was != nil:
			c.report(ErrRepeated, "%d started attempt %d at %s and again at %s", m.N, m.Attempt, clock(was.started), clock(m.At))
		case m.Attempt < 1 || m.Attempt > c.Attempts:
			c.report(ErrRepeated, "%d started attempt %d of %d", m.N, m.Attempt, c.Attempts)
		default:
			c.runs[key] = &run{n: m.N, attempt: m.Attempt, started: m.At}
		}
	}
}

// order checks first attempts. With more than one slot the processes of those that were dispatched race for their
// first instruction; but whoever starts has less than a limit of earlier ones before it that are yet to start.
// Those that never started (canceled, or lost with their runner) had their turn.
func (c *check) order() {
	started := make([]bool, len(c.Requests))
	low := 0 // all before have started, or never will
	for _, m := range c.Marks {
		at, asked := c.place[m.N]
		if m.End || m.Attempt != 1 || !asked || started[at] {
			continue
		}
		started[at] = true
		for low < len(started) && (started[low] || !c.starts1(low)) {
			low++
		}
		if before := c.yetToStart(started, low, at); len(before) >= c.Limit {
			c.report(ErrOrder, "%d started at %s before %v, at limit %d", m.N, clock(m.At), before[:min(len(before), 10)], c.Limit)
		}
	}
}

// held checks that nobody passes those that keep their slots between two attempts: whoever starts has less than a
// limit of earlier ones before it that are yet to start another attempt.
func (c *check) held() {
	if !c.Hold {
		return
	}
	last := map[int]time.Time{} // of a number, when its last attempt after the first started
	for key, r := range c.runs {
		if key.attempt > 1 && r.started.After(last[key.n]) {
			last[key.n] = r.started
		}
	}
	for i, r := range c.Requests {
		first := c.runs[attempt{r.N, 1}]
		if first == nil {
			continue
		}
		var passed []int
		for _, earlier := range c.Requests[:i] {
			if last[earlier.N].After(first.started) {
				passed = append(passed, earlier.N)
			}
		}
		if len(passed) >= c.Limit {
			c.report(ErrOrder, "%d started at %s, between two attempts of %v that kept their slots", r.N, clock(first.started), passed)
		}
	}
}

// rate checks the starts of any time. Those that had their token and a slot may all have been held up on their way,
// and start at once.
func (c *check) rate() {
	if c.Every == 0 {
		return
	}
	var starts []time.Time
	for _, r := range c.runs {
		starts = append(starts, r.started)
	}
	slices.SortFunc(starts, time.Time.Compare)
	for i := range starts {
		for j := i + 1; j < len(starts); j++ {
			took := starts[j].Sub(starts[i])
			if allowed := int(took/c.Every) + 1 + c.Limit; j-i+1 > allowed {
				c.report(ErrRate, "%d started within %s of %s, the rate allows %d", j-i+1, took, clock(starts[i]), allowed)
				return
			}
		}
	}
}

// yetToStart gives the numbers of those from one place to before another that will start and have not.
func (c *check) yetToStart(started []bool, from, to int) (numbers []int) {
	for i := from; i < to; i++ {
		if !started[i] && c.starts1(i) {
			numbers = append(numbers, c.Requests[i].N)
		}
	}
	return numbers
}

// starts1 tells whether the first attempt of the request at a place ever started.
func (c *check) starts1(place int) bool { return c.runs[attempt{c.Requests[place].N, 1}] != nil }

// limit sweeps over the runs in the order of time.
func (c *check) limit() {
	type moment struct {
		at    time.Time
		delta int
		n     int
	}
	var moments []moment
	for _, r := range c.runs {
		moments = append(moments, moment{r.started, 1, r.n})
		if end, known := c.endOf(r); known {
			moments = append(moments, moment{end, -1, r.n})
		}
	}
	slices.SortFunc(moments, func(a, b moment) int {
		if d := a.at.Compare(b.at); d != 0 {
			return d
		}
		return a.delta - b.delta // an end gives its slot to the start of the same moment
	})
	now := 0
	for _, m := range moments {
		if now += m.delta; m.delta > 0 && now > c.Limit {
			c.report(ErrLimit, "%d started at %s as one of %d, the limit is %d", m.n, clock(m.at), now, c.Limit)
		}
	}
}

// endOf tells when a run gave its slot back. One that was killed noted no end, and one whose runner was given up
// may have gone on: what the API says of the attempt's end counts then.
func (c *check) endOf(r *run) (time.Time, bool) {
	said := c.saidEnd(r)
	switch {
	case r.ended == nil && said == nil:
		return time.Time{}, false
	case r.ended == nil || said != nil && said.Before(*r.ended):
		return *said, true
	}
	return *r.ended, true
}

func (c *check) saidEnd(r *run) *time.Time {
	x := c.executionOf(r.n)
	if x.Attempt == r.attempt {
		return x.EndedAt
	}
	for _, p := range x.Previous {
		if p.Attempt == r.attempt {
			return p.EndedAt
		}
	}
	return nil
}

func (c *check) executionOf(n int) Execution {
	at, asked := c.place[n]
	if !asked {
		return Execution{}
	}
	return c.executions[c.Requests[at].ID]
}

// ends checks that everything that was accepted ended, as it says it did.
func (c *check) ends() {
	for _, r := range c.Requests {
		x, known := c.executions[r.ID]
		switch {
		case !known:
			c.report(ErrMissing, "%d: the API does not know execution %s", r.N, r.ID)
		case !execution.Final(x.Status):
			c.report(ErrMissing, "%d: execution %s is %s", r.N, r.ID, x.Status)
		case x.EndedAt == nil:
			c.report(ErrStatus, "%d: execution %s is %s and has no end", r.N, r.ID, x.Status)
		default:
			c.status(r.N, x)
		}
	}
}

func (c *check) status(n int, x Execution) {
	if x.Attempt > c.Attempts {
		c.report(ErrRepeated, "%d: execution %s is at attempt %d of %d", n, x.ID, x.Attempt, c.Attempts)
	}
	for a := x.Attempt + 1; a <= c.Attempts; a++ {
		if c.runs[attempt{n, a}] != nil {
			c.report(ErrStatus, "%d ran attempt %d, the API knows of %d", n, a, x.Attempt)
		}
	}
	if x.Status != streams.Succeeded && x.Status != streams.Failed {
		return // it may have been ended before it began, or at any moment
	}
	last := c.runs[attempt{n, x.Attempt}]
	switch {
	case last == nil:
		c.report(ErrStatus, "%d: execution %s %s without a start", n, x.ID, x.Status)
	case last.ended == nil:
		c.report(ErrStatus, "%d: execution %s %s, its action noted no end", n, x.ID, x.Status)
	case x.EndedAt.Before(last.ended.Add(-time.Millisecond)):
		c.report(ErrStatus, "%d: execution %s %s at %s, its action ended at %s", n, x.ID, x.Status, clock(*x.EndedAt), clock(*last.ended))
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000000") }
