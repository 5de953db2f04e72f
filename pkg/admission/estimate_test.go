package admission_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/pack"
)

// Steady work: executions that take about as long as each other, and arrive about as fast as they are done. What
// was foretold when they were queued is compared with what came.
func TestEstimatesAreGoodForSteadyWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		policy admission.Policy
		spread float64
	}{
		{"one slot", admission.Policy{Limit: 1}, 0.3},
		{"four slots", admission.Policy{Limit: 4}, 0.3},
		{"a hundred slots", admission.Policy{Limit: 100}, 0.3},
		{"a rate", admission.Policy{Rate: pack.Rate{Count: 30, Period: time.Minute, Burst: 1}}, 0.3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			errs := steadyWork(c.policy, c.spread)
			slices.Sort(errs)
			if median := errs[len(errs)/2]; len(errs) < 500 || median > 0.25 {
				t.Errorf("median error %.0f %% of %d estimates, want at most 25 %%", 100*median, len(errs))
			}
		})
	}
}

// steadyWork simulates thousands of executions of ten seconds, give or take, of which some more arrive than are done.
func steadyWork(p admission.Policy, spread float64) (errs []float64) {
	s, random := admission.New(0), rand.New(rand.NewPCG(1, 2))
	now, seq := start, uint64(0)
	ends := map[time.Time][]admission.ID{}
	slots := max(p.Limit, 1)
	for range 100 * 1000 / slots * min(slots, 5) {
		now = now.Add(100 * time.Millisecond)
		for range arrivals(p, slots, random) {
			seq++
			s.Queued(admission.Request{ID: id(seq), Queue: admission.Queue{Action: echo}, Seq: seq, Policy: p, Attempt: 1, At: now}, now)
		}
		for _, id := range ends[now] {
			s.End(id, 1, now)
		}
		for {
			d, ok := s.Next(now)
			if !ok {
				break
			}
			s.Start(d.ID, 1, now)
			took := time.Duration(100*(1-spread+2*spread*random.Float64())) * 100 * time.Millisecond
			ends[now.Add(took)] = append(ends[now.Add(took)], d.ID)
			if off := admission.EstimateError(d.Foretold, d.Waited); !math.IsNaN(off) {
				errs = append(errs, off)
			}
		}
	}
	return errs
}

// arrivals is how many come in a tenth of a second: a little more than are done in it.
func arrivals(p admission.Policy, slots int, random *rand.Rand) int {
	each := 1.05 * float64(slots) / 100
	if p.Rate.Count > 0 {
		each = 1.05 * float64(p.Rate.Count) / p.Rate.Period.Seconds() / 10
	}
	n := int(each)
	if random.Float64() < each-float64(n) {
		n++
	}
	return n
}

func TestNobodyForetellsWhatHeDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	queued(s, 1, 1, 2)
	wantAdmitted(t, s, 1)
	if p, _ := s.Locate(id(2), start); !p.Starts.IsZero() {
		t.Errorf("it starts at %v, and none has ended yet", p.Starts)
	}
	s.End(id(1), 1, start.Add(10*time.Second))
	queued(s, 1, 3)
	if p, _ := s.Locate(id(3), start.Add(10*time.Second)); p.Starts.IsZero() {
		t.Error("no estimate, and one has ended")
	}
	s.SetControl(echo.String(), admission.Control{Paused: true}, start)
	if p, _ := s.Locate(id(3), start); !p.Starts.IsZero() {
		t.Errorf("it starts at %v, and is paused", p.Starts)
	}
}

// In any time the starts stay within the rate and the burst.
func TestARateBoundsTheStartsOfAnyTime(t *testing.T) {
	t.Parallel()
	for _, rate := range []pack.Rate{
		{Count: 10, Period: time.Minute}, {Count: 10, Period: time.Minute, Burst: 1}, {Count: 3, Period: 10 * time.Second, Burst: 2, Action: true},
	} {
		s := admission.New(0)
		for n := range uint64(200) {
			q := admission.Queue{Action: echo, Key: strconv.Itoa(int(n % 4))}
			s.Queued(admission.Request{ID: id(n), Queue: q, Seq: n + 1, Policy: admission.Policy{Rate: rate}, Attempt: 1, At: start}, start)
		}
		buckets := 4
		if rate.Action {
			buckets = 1
		}
		burst := rate.Burst
		if burst == 0 {
			burst = rate.Count
		}
		for n, at := range startTimes(s) {
			if allowed := buckets * (burst + int(at.Sub(start)*time.Duration(rate.Count)/rate.Period)); n+1 > allowed {
				t.Fatalf("%v: start %d after %v, allowed are %d", rate, n+1, at.Sub(start), allowed)
			}
		}
	}
}

// startTimes lets time pass from one wake to the next until all have started.
func startTimes(s *admission.State) (all []time.Time) {
	now := start
	for {
		for {
			d, ok := s.Next(now)
			if !ok {
				break
			}
			all = append(all, now)
			s.End(d.ID, 1, now)
		}
		at, ok := s.Wake()
		if !ok {
			return all
		}
		now = at
	}
}
