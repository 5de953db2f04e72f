package admission_test

import (
	"cmp"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/admission"
)

func (m *model) tick() time.Time {
	m.now = m.now.Add(time.Second)
	return m.now
}

func (m *model) pass(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
}

func (m *model) pick(t *rapid.T, ok func(*request) bool) *request {
	var some []*request
	for _, r := range m.all {
		if ok(r) {
			some = append(some, r)
		}
	}
	if len(some) == 0 {
		t.Skip("none")
	}
	return rapid.SampledFrom(some).Draw(t, "execution")
}

func (m *model) request(t *rapid.T) {
	m.seq++
	action := rapid.SampledFrom(actions).Draw(t, "action")
	r := &request{messageAttempt: 1, Request: admission.Request{
		ID: id(m.seq), Seq: m.seq, Attempt: 1, At: m.tick(), Pool: rapid.SampledFrom([]string{"default", "big"}).Draw(t, "pool"),
		Queue:    admission.Queue{Action: action, Key: rapid.SampledFrom(keys).Draw(t, "key")},
		Priority: rapid.SampledFrom([]admission.Priority{0, 0, admission.High, admission.Low}).Draw(t, "priority"),
		Timeout:  rapid.SampledFrom([]time.Duration{0, 0, 15 * time.Second}).Draw(t, "timeout"),
		Reject:   rapid.IntRange(0, 9).Draw(t, "reject") == 0,
	}}
	if _, ok := m.policies[action]; !ok { // the first request says it, a definition later
		r.Policy = admission.Policy{Limit: rapid.IntRange(0, 3).Draw(t, "limit"), Rate: rapid.SampledFrom(rates).Draw(t, "rate")}
		m.policies[action] = r.Policy
	}
	m.all = append(m.all, r)
	if v, stale := m.state.Queued(m.hinted(r), m.now); v != admission.Added || stale != 0 {
		t.Fatalf("new execution: verdict %v, stale %d", v, stale)
	}
}

// hinted is a request with the policy as it is now: the newest request knows best.
func (m *model) hinted(r *request) admission.Request {
	out := r.Request
	out.Policy, out.PackLimit = m.policies[r.Queue.Action], m.packs[r.Queue.Action.Pack]
	return out
}

func (m *model) redeliver(t *rapid.T) {
	r := m.pick(t, inStream)
	again := m.hinted(r)
	again.Attempt = r.messageAttempt
	want, gone := admission.Repeated, uint64(0)
	if r.ended {
		want, gone = admission.Stale, r.Seq
	}
	if v, stale := m.state.Queued(again, m.now); v != want || stale != gone {
		t.Fatalf("repeated message of %s: verdict %v, want %v; stale %d, want %d", r, v, want, stale, gone)
	}
}

// start also covers a claim of something that another leader dispatched.
func (m *model) start(t *rapid.T) {
	r := m.pick(t, func(r *request) bool { return alive(r) && r.phase != admission.Delayed })
	if news := m.state.Start(r.ID, r.Attempt, m.tick()); news != (r.phase != admission.Started) {
		t.Fatalf("start: news %v of %s", news, r)
	}
	r.phase = admission.Started
}

func (m *model) dispatch(t *rapid.T) {
	r := m.pick(t, waiting)
	m.state.Dispatch(r.ID, m.tick())
	r.phase = admission.Dispatched
}

func (m *model) finish(t *rapid.T, which func(*request) bool) {
	r := m.pick(t, which)
	p, ok := m.state.End(r.ID, r.Attempt, m.tick())
	if !ok || p.Message != r.Seq || p.Queue != r.Queue || p.Phase != r.phase {
		t.Fatalf("end of %s: %+v %v", r, p, ok)
	}
	r.ended = true
}

func (m *model) end(t *rapid.T) { m.finish(t, holding) }
func (m *model) cancel(t *rapid.T) {
	m.finish(t, func(r *request) bool { return alive(r) && !holding(r) })
}

func (m *model) endAgain(t *rapid.T) {
	r := m.pick(t, ended)
	if _, ok := m.state.End(r.ID, r.Attempt, m.tick()); ok {
		t.Fatal("ended twice")
	}
	if m.state.Start(r.ID, r.Attempt, m.tick()) {
		t.Fatal("started after its end")
	}
}

func (m *model) remove(t *rapid.T) { m.pick(t, ended).deleted = true }

// retry ends an attempt that is to be followed by another. Its claim may not have been seen.
func (m *model) retry(t *rapid.T) {
	r := m.pick(t, func(r *request) bool { return running(r) || unclaimed(r) })
	hold := rapid.Bool().Draw(t, "hold")
	r.Attempt, r.notBefore = r.Attempt+1, m.tick().Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "delay"))*time.Second)
	r.phase, r.requeued = admission.Delayed, false
	if hold {
		r.phase = admission.Held
	}
	if !m.state.Retry(r.ID, r.Attempt, r.notBefore, hold, m.now) {
		t.Fatalf("the next attempt of %s is no news", r)
	}
	if m.state.Retry(r.ID, r.Attempt, r.notBefore, hold, m.now) {
		t.Fatalf("the next attempt of %s is news again", r)
	}
	if m.state.Start(r.ID, r.Attempt-1, m.now) {
		t.Fatalf("an earlier attempt of %s started", r)
	}
}

// requeue is the message of a later attempt, as the leader publishes it.
func (m *model) requeue(t *rapid.T) {
	r := m.pick(t, func(r *request) bool { return delayed(r) && r.requeued })
	r.old = append(r.old, queuedMsg{seq: r.Seq, attempt: r.messageAttempt})
	m.seq++
	r.At = m.tick()
	r.Seq, r.messageAttempt, r.phase = m.seq, r.Attempt, admission.Waiting
	old := r.old[len(r.old)-1].seq
	if v, stale := m.state.Queued(m.hinted(r), m.now); v != admission.Added || stale != old {
		t.Fatalf("next attempt of %s: verdict %v, stale %d, want %d", r, v, stale, old)
	}
	if rapid.Bool().Draw(t, "deleted in time") {
		r.old = nil
	}
}

func (m *model) policy(t *rapid.T) {
	a := rapid.SampledFrom(actions).Draw(t, "action")
	m.policies[a] = admission.Policy{Limit: rapid.IntRange(0, 4).Draw(t, "limit"), Rate: rapid.SampledFrom(rates).Draw(t, "rate")}
	m.state.SetPolicy(a, m.policies[a])
}

func (m *model) packLimit(t *rapid.T) {
	name := rapid.SampledFrom(actions).Draw(t, "action").Pack
	m.packs[name] = rapid.IntRange(0, 4).Draw(t, "limit")
	m.state.SetPackLimit(name, m.packs[name])
}

// say is an operator's word.
func (m *model) say(t *rapid.T) {
	scope := rapid.SampledFrom(scopes).Draw(t, "scope")
	var c admission.Control
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0:
		c.Paused = true
	case 1:
		c.Paused, c.Until = true, m.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "for"))*time.Second)
	case 2:
		c.Draining, c.DrainAfter = true, m.seq
	case 3:
		c.Limit = rapid.IntRange(1, 4).Draw(t, "limit")
	}
	m.controls[scope] = c
	m.state.SetControl(scope, c, m.now)
}

func (m *model) unsay(t *rapid.T) {
	scope := rapid.SampledFrom(scopes).Draw(t, "scope")
	delete(m.controls, scope)
	m.state.SetControl(scope, admission.Control{}, m.now)
}

// rebuild is a change of leader: a new machine is fed from what the streams hold, in an order that readers of
// several streams may see.
func (m *model) rebuild(t *rapid.T) {
	m.state = admission.New(modelAging)
	for a, p := range m.policies {
		m.state.SetPolicy(a, p)
	}
	for name, limit := range m.packs {
		m.state.SetPackLimit(name, limit)
	}
	for key, at := range m.fullAt {
		m.state.RestoreBucket(key, at)
	}
	m.refeedQueue()
	for _, i := range rapid.Permutation(indices(len(m.all))).Draw(t, "order of facts") {
		m.refeed(m.all[i])
	}
	for scope, c := range m.controls {
		m.state.SetControl(scope, c, m.now)
	}
}

// refeedQueue gives the messages of QUEUE in their order.
func (m *model) refeedQueue() {
	var all []admission.Request
	for _, r := range m.all {
		msgs := r.old
		if !r.deleted {
			msgs = append(slices.Clone(msgs), queuedMsg{seq: r.Seq, attempt: r.messageAttempt})
		}
		for _, msg := range msgs {
			q := m.hinted(r)
			q.Seq, q.Attempt = msg.seq, msg.attempt
			all = append(all, q)
		}
	}
	slices.SortFunc(all, func(a, b admission.Request) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, q := range all {
		m.state.Queued(q, m.now)
	}
}

func (m *model) refeed(r *request) {
	if !r.ended && r.Attempt > 1 && r.phase != admission.Started {
		m.state.Retry(r.ID, r.Attempt, r.notBefore, r.messageAttempt < r.Attempt && r.phase != admission.Delayed, m.now)
	}
	switch {
	case r.ended:
		m.state.End(r.ID, r.Attempt, m.now)
	case r.phase == admission.Started:
		m.state.Start(r.ID, r.Attempt, m.now)
	case r.phase == admission.Dispatched:
		m.state.Dispatch(r.ID, m.now)
	case r.phase == admission.Leaving: // nobody has carried it out
		r.phase = admission.Waiting
	case r.phase == admission.Delayed:
		r.requeued = false
	}
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
