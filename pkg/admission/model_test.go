package admission_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	godiff "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

const modelAging = 25 * time.Second

// request is an execution as the model knows it.
type request struct {
	admission.Request // of its current attempt; Seq is its place
	phase             admission.Phase
	ended             bool
	deleted           bool        // its message is gone from the stream
	old               []queuedMsg // messages of earlier attempts that nobody has deleted yet
	messageAttempt    int         // which attempt its message was made for
	notBefore         time.Time   // of one that is Delayed or Held
	requeued          bool        // the decision to put it in line again was given
}

type queuedMsg struct {
	seq     uint64
	attempt int
}

// model is FIFOs with slots, kept as one list: slow and plainly right. It is what the durable streams hold, so
// that a machine may be rebuilt from it at any moment.
type model struct {
	state    *admission.State
	all      []*request
	policies map[pack.Ref]admission.Policy
	packs    map[string]int
	controls map[string]admission.Control
	fullAt   map[string]time.Time // of token buckets
	seq      uint64
	now      time.Time
}

func id(n uint64) admission.ID {
	var u admission.ID
	binary.BigEndian.PutUint64(u[8:], n)
	return u
}

var (
	actions = []pack.Ref{{Pack: "core", Name: "a"}, {Pack: "core", Name: "b"}, {Pack: "disk", Name: "c"}}
	scopes  = []string{"core.a", "core.b", "disk.c", "core", "disk", streams.ScopeAll}
	keys    = []string{"", "k1"}
	rates   = []pack.Rate{{}, {}, {Count: 2, Period: 10 * time.Second}, {Count: 1, Period: 5 * time.Second}, {Count: 4, Period: 20 * time.Second, Burst: 1, Action: true}}
)

func newModel() *model {
	return &model{
		state: admission.New(modelAging), policies: map[pack.Ref]admission.Policy{}, packs: map[string]int{},
		controls: map[string]admission.Control{}, fullAt: map[string]time.Time{}, now: time.Unix(1_800_000_000, 0),
	}
}

func (m *model) byID(id admission.ID) *request {
	i := slices.IndexFunc(m.all, func(r *request) bool { return r.ID == id })
	return m.all[i]
}

func alive(r *request) bool     { return !r.ended }
func ended(r *request) bool     { return r.ended }
func waiting(r *request) bool   { return !r.ended && r.phase == admission.Waiting }
func unclaimed(r *request) bool { return !r.ended && r.phase == admission.Dispatched }
func delayed(r *request) bool   { return !r.ended && r.phase == admission.Delayed }
func running(r *request) bool   { return !r.ended && r.phase == admission.Started }
func inStream(r *request) bool  { return !r.deleted }

func holding(r *request) bool {
	return !r.ended && (r.phase == admission.Dispatched || r.phase == admission.Started || r.phase == admission.Held)
}

func (m *model) heldDue(r *request) bool {
	return !r.ended && r.phase == admission.Held && !r.notBefore.After(m.now)
}

// level is the priority that a request has by now; the lower the sooner.
func (m *model) level(r *request) int {
	return max(int(r.Priority)-int(m.now.Sub(r.At)/modelAging), int(admission.High))
}

// in gives those of a queue in the order of their places.
func (m *model) in(q admission.Queue, ok func(*request) bool) (some []*request) {
	for _, r := range m.all {
		if r.Queue == q && ok(r) {
			some = append(some, r)
		}
	}
	slices.SortFunc(some, func(a, b *request) int { return cmp.Compare(a.Seq, b.Seq) })
	return some
}

// line gives the waiting of a queue in the order in which they are to start.
func (m *model) line(q admission.Queue) []*request {
	all := m.in(q, waiting)
	slices.SortStableFunc(all, func(a, b *request) int { return cmp.Compare(m.level(a), m.level(b)) })
	return all
}

// next is who is to start next of a queue.
func (m *model) next(q admission.Queue) *request {
	if again := m.in(q, m.heldDue); len(again) > 0 {
		return again[0]
	}
	if line := m.line(q); len(line) > 0 {
		return line[0]
	}
	return nil
}

func (m *model) control(scope string) admission.Control {
	c := m.controls[scope]
	if c.Paused && !c.Until.IsZero() && !c.Until.After(m.now) {
		c.Paused = false
	}
	return c
}

func (m *model) scopesOf(r *request) []string {
	return []string{r.Queue.Action.String(), r.Queue.Action.Pack, streams.ScopeAll}
}

func (m *model) count(ok func(*request) bool) (n int) {
	for _, r := range m.all {
		if holding(r) && ok(r) {
			n++
		}
	}
	return n
}

// mayStart tells whether a request may start that is the next of its queue.
func (m *model) mayStart(r *request) bool { return m.couldStart(r) && !m.waitsForClaim(r.Queue) }

func (m *model) limit(q admission.Queue) int {
	return cmp.Or(m.controls[q.Action.String()].Limit, m.policies[q.Action].Limit)
}

// waitsForClaim tells whether somebody before was admitted and is not claimed.
func (m *model) waitsForClaim(q admission.Queue) bool {
	return m.limit(q) > 0 && len(m.in(q, unclaimed)) > 0
}

// reserved is how many of a queue could start if those before them had been claimed.
func (m *model) reserved(q admission.Queue) int {
	if next := m.next(q); next == nil || !m.couldStart(next) || !m.waitsForClaim(q) {
		return 0
	}
	return max(m.limit(q)-len(m.in(q, holding)), 0)
}

// hasSlot tells whether a waiting request is among those.
func (m *model) hasSlot(r *request) bool {
	return slices.Index(m.line(r.Queue), r) < m.reserved(r.Queue)
}

// couldStart tells whether limits, rates and operators let a request start that is the next of its queue.
func (m *model) couldStart(r *request) bool {
	for _, s := range m.scopesOf(r) {
		if m.control(s).Paused {
			return false
		}
	}
	if rate := m.policies[r.Queue.Action].Rate; rate.Count > 0 && m.fullAt[m.bucket(r.Queue)].Sub(m.now) > tolerance(rate) {
		return false
	}
	if r.phase == admission.Held {
		return true
	}
	limits := []struct {
		declared int
		scope    string
		within   func(*request) bool
	}{
		{m.policies[r.Queue.Action].Limit, r.Queue.Action.String(), func(o *request) bool { return o.Queue == r.Queue }},
		{m.packs[r.Queue.Action.Pack], r.Queue.Action.Pack, func(o *request) bool { return o.Queue.Action.Pack == r.Queue.Action.Pack }},
		{0, streams.ScopeAll, func(*request) bool { return true }},
	}
	for _, l := range limits {
		limit := cmp.Or(m.controls[l.scope].Limit, l.declared)
		if limit > 0 && m.count(l.within) >= limit {
			return false
		}
	}
	return true
}

func (m *model) bucket(q admission.Queue) string {
	if m.policies[q.Action].Rate.Action {
		q.Key = ""
	}
	return streams.RateKey(q.Action.String(), q.Key)
}

func interval(r pack.Rate) time.Duration { return r.Period / time.Duration(r.Count) }

func tolerance(r pack.Rate) time.Duration {
	if r.Count == 0 {
		return 0
	}
	return interval(r) * time.Duration(cmp.Or(r.Burst, r.Count)-1)
}

func (m *model) takeToken(r *request) {
	rate := m.policies[r.Queue.Action].Rate
	if rate.Count == 0 {
		return
	}
	at := m.fullAt[m.bucket(r.Queue)]
	if at.Before(m.now) {
		at = m.now
	}
	m.fullAt[m.bucket(r.Queue)] = at.Add(interval(rate))
}

func (m *model) late(r *request) bool {
	return r.Attempt == 1 && slices.ContainsFunc(m.scopesOf(r), func(s string) bool {
		c := m.control(s)
		return c.Draining && r.Seq > c.DrainAfter
	})
}

func (m *model) expired(r *request) bool { return r.Timeout > 0 && !r.At.Add(r.Timeout).After(m.now) }

// check lets the machine decide until it has nothing more: every decision must be allowed, and afterwards nothing
// may be left undecided. Which of several queues gets the slot that they compete for is the machine's choice.
func (m *model) check(t *rapid.T) {
	for {
		d, ok := m.state.Next(m.now)
		if !ok {
			break
		}
		r := m.byID(d.ID)
		if r.ended || d.Attempt != r.Attempt || d.Queue != r.Queue {
			t.Fatalf("decision %+v about %s", d, r)
		}
		m.apply(t, d, r)
	}
	m.nothingLeft(t)
	m.compareAnswers(t)
}

// GoString keeps a failure readable.
func (r *request) GoString() string { return r.String() }

func (r *request) String() string {
	return fmt.Sprintf("execution %d of %v (attempt %d, phase %v, ended %v, since %v)", r.Seq, r.Queue, r.Attempt, r.phase, r.ended, r.At.Unix())
}

func (m *model) apply(t *rapid.T, d admission.Decision, r *request) {
	allowed := false
	switch d.Kind {
	case admission.Admit:
		allowed = m.next(r.Queue) == r && m.mayStart(r) && !m.late(r) && (!m.expired(r) || r.phase == admission.Held)
		r.phase = admission.Dispatched
		m.takeToken(r)
		if d.Bucket != "" && !d.FullAt.Equal(m.fullAt[d.Bucket]) {
			t.Fatalf("bucket is full at %v, want %v", d.FullAt, m.fullAt[d.Bucket])
		}
	case admission.Refuse:
		full := d.Refused == streams.ClassQueueFull && r.Reject && r.Attempt == 1 && (m.next(r.Queue) != r || !m.mayStart(r)) && !m.hasSlot(r)
		allowed = waiting(r) && (full || d.Refused == streams.ClassQueueDraining && m.late(r))
		r.phase = admission.Leaving
	case admission.Expire:
		allowed = waiting(r) && m.expired(r)
		r.phase = admission.Leaving
	case admission.Requeue:
		allowed = delayed(r) && !r.requeued && !r.notBefore.After(m.now)
		r.requeued = true
	}
	if !allowed {
		t.Fatalf("decision %+v about %s at %d is wrong", d, r, m.now.Unix())
	}
}

func (m *model) nothingLeft(t *rapid.T) {
	for _, r := range m.all {
		if delayed(r) && !r.requeued && !r.notBefore.After(m.now) {
			t.Fatalf("%s is still delayed at %d", r, m.now.Unix())
		}
		if waiting(r) && (m.late(r) || m.expired(r) || r.Reject && r.Attempt == 1 && !m.hasSlot(r)) {
			t.Fatalf("%s still waits at %d", r, m.now.Unix())
		}
		if next := m.next(r.Queue); next != nil && m.mayStart(next) {
			t.Fatalf("%s could start at %d", next, m.now.Unix())
		}
	}
	if at, ok := m.state.Wake(); ok && !at.After(m.now) {
		t.Fatalf("wants to be woken at %d, it is %d", at.Unix(), m.now.Unix())
	}
}

func (m *model) compareAnswers(t *rapid.T) {
	totalWaiting, totalHolding := 0, 0
	for _, a := range actions {
		sum := 0
		for _, k := range keys {
			q := admission.Queue{Action: a, Key: k}
			w, h := m.line(q), m.in(q, holding)
			totalWaiting, totalHolding, sum = totalWaiting+len(w), totalHolding+len(h), sum+len(w)
			m.compareQueue(t, q, w, h)
		}
		if st := m.state.ActionStats(a, m.now); st.Waiting != sum {
			t.Fatalf("action %v: %d wait, want %d", a, st.Waiting, sum)
		}
	}
	if w, h := m.state.Counts(); w != totalWaiting || h != totalHolding {
		t.Fatalf("counts %d %d, want %d %d", w, h, totalWaiting, totalHolding)
	}
	if st := m.state.ScopeStats(streams.ScopeAll, m.now); st.Waiting != totalWaiting || st.Running != totalHolding {
		t.Fatalf("all: %+v, want %d %d", st, totalWaiting, totalHolding)
	}
}

func (m *model) compareQueue(t *rapid.T, q admission.Queue, w, h []*request) {
	d := m.in(q, delayed)
	st := m.state.Stats(q, m.now)
	if st.Waiting != len(w) || st.Running != len(h) || st.Delayed != len(d) {
		t.Fatalf("queue %v: %+v, want %d waiting %d holding %d delayed", q, st, len(w), len(h), len(d))
	}
	if len(w) > 0 && st.BlockedBy == "" {
		t.Fatalf("queue %v: nothing blocks it and %d wait", q, len(w))
	}
	var want, got []admission.ID
	for _, r := range slices.Concat(h, w, d) {
		want = append(want, r.ID)
	}
	for _, p := range m.state.Line(q, 0, 1000, m.now) {
		got = append(got, p.ID)
	}
	if diff := godiff.Diff(want, got); diff != "" {
		t.Fatalf("line of %v (-want +got):\n%s", q, diff)
	}
	reserved := m.reserved(q)
	for i, r := range w {
		if p, ok := m.state.Locate(r.ID, m.now); !ok || p.Position != max(i+1-reserved, 0) {
			t.Fatalf("position of %v: %+v, want %d after %d", r, p, i+1, reserved)
		}
	}
}

// The machine decides like FIFOs with slots whatever happens, and a machine that was rebuilt from the streams
// decides like the one that it replaces.
func TestDecidesLikeAFIFOWithSlots(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "request": m.request, "request again": m.request, "request more": m.request, "redeliver": m.redeliver,
			"start": m.start, "start as well": m.start, "dispatch": m.dispatch, "end": m.end, "end as well": m.end, "cancel": m.cancel,
			"end twice": m.endAgain, "delete message": m.remove, "policy": m.policy, "pack limit": m.packLimit, "control": m.say,
			"control again": m.unsay, "retry": m.retry, "retry again": m.retry, "requeue": m.requeue, "time passes": m.pass, "rebuild": m.rebuild,
		})
	})
}
