package admission_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/pack"
)

// request is an execution as the model knows it.
type request struct {
	admission.Request
	phase   admission.Phase
	ended   bool
	deleted bool // its message is gone from the stream
}

// model is a FIFO with slots per queue, kept as one list in stream order: slow and plainly right. It is what
// the durable streams hold, so that a machine may be rebuilt from it at any moment.
type model struct {
	t       *rapid.T
	state   *admission.State
	all     []*request
	limits  map[pack.Ref]int
	defined map[pack.Ref]bool
	paused  map[pack.Ref]bool
	seq     uint64
	now     time.Time
}

func id(n uint64) admission.ID {
	var u admission.ID
	binary.BigEndian.PutUint64(u[8:], n)
	return u
}

var (
	actions = []pack.Ref{{Pack: "core", Name: "a"}, {Pack: "core", Name: "b"}}
	keys    = []string{"", "k1", "k2"}
)

func newModel(t *rapid.T) *model {
	return &model{
		t: t, state: admission.New(), limits: map[pack.Ref]int{}, defined: map[pack.Ref]bool{},
		paused: map[pack.Ref]bool{}, now: time.Unix(1_800_000_000, 0),
	}
}

func (m *model) tick() time.Time {
	m.now = m.now.Add(time.Second)
	return m.now
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

func alive(r *request) bool    { return !r.ended }
func waiting(r *request) bool  { return !r.ended && r.phase == admission.Waiting }
func holding(r *request) bool  { return !r.ended && r.phase != admission.Waiting }
func ended(r *request) bool    { return r.ended }
func inStream(r *request) bool { return !r.deleted }
func (m *model) request(t *rapid.T) {
	m.seq++
	action := rapid.SampledFrom(actions).Draw(t, "action")
	r := &request{Request: admission.Request{
		ID: id(m.seq), Seq: m.seq, Attempt: 1, At: m.tick(), Pool: rapid.SampledFrom([]string{"default", "big"}).Draw(t, "pool"),
		Queue: admission.Queue{Action: action, Key: rapid.SampledFrom(keys).Draw(t, "key")},
		Limit: rapid.IntRange(0, 3).Draw(t, "limit"),
	}}
	if !m.defined[action] {
		m.limits[action] = r.Limit
	}
	m.all = append(m.all, r)
	if v := m.state.Queued(r.Request); v != admission.Added {
		t.Fatalf("new execution: verdict %v", v)
	}
}

func (m *model) redeliver(t *rapid.T) {
	r := m.pick(t, inStream)
	want := admission.Repeated
	if r.ended {
		want = admission.Stale
	}
	if v := m.state.Queued(r.Request); v != want {
		t.Fatalf("repeated message: verdict %v, want %v", v, want)
	}
}

// start also covers a claim of something that another leader dispatched.
func (m *model) start(t *rapid.T) {
	r := m.pick(t, alive)
	if news := m.state.Start(r.ID, 1, m.tick()); news != (r.phase != admission.Started) {
		t.Fatalf("start: news %v in phase %v", news, r.phase)
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
	p, ok := m.state.End(r.ID, 1, m.tick())
	if !ok || p.Message != r.Seq || p.Queue != r.Queue || p.Phase != r.phase {
		t.Fatalf("end of %v: %+v %v", r, p, ok)
	}
	r.ended = true
}

func (m *model) end(t *rapid.T)    { m.finish(t, holding) }
func (m *model) cancel(t *rapid.T) { m.finish(t, waiting) }

func (m *model) endAgain(t *rapid.T) {
	r := m.pick(t, ended)
	if _, ok := m.state.End(r.ID, 1, m.tick()); ok {
		t.Fatal("ended twice")
	}
	if m.state.Start(r.ID, 1, m.tick()) {
		t.Fatal("started after its end")
	}
}

func (m *model) remove(t *rapid.T) { m.pick(t, ended).deleted = true }

func (m *model) limit(t *rapid.T) {
	a := rapid.SampledFrom(actions).Draw(t, "action")
	m.limits[a], m.defined[a] = rapid.IntRange(0, 4).Draw(t, "limit"), true
	m.state.SetLimit(a, m.limits[a])
}

func (m *model) pause(t *rapid.T) {
	a := rapid.SampledFrom(actions).Draw(t, "action")
	m.paused[a] = true
	m.state.Pause(a)
}

func (m *model) resume(t *rapid.T) {
	a := rapid.SampledFrom(actions).Draw(t, "action")
	m.paused[a] = false
	m.state.Resume(a)
}

// rebuild is a change of leader: a new machine is fed from what the streams hold, in an order that readers of
// several streams may see.
func (m *model) rebuild(t *rapid.T) {
	m.state = admission.New()
	for a, n := range m.limits {
		m.state.SetLimit(a, n)
		m.defined[a] = true
	}
	for a, on := range m.paused {
		if on {
			m.state.Pause(a)
		}
	}
	for _, r := range m.all {
		if !r.deleted {
			m.state.Queued(r.Request)
		}
	}
	for _, i := range rapid.Permutation(indices(len(m.all))).Draw(t, "order of facts") {
		m.refeed(m.all[i])
	}
}

func (m *model) refeed(r *request) {
	switch {
	case r.ended:
		m.state.End(r.ID, 1, m.now)
	case r.phase == admission.Started:
		m.state.Start(r.ID, 1, m.now)
	case r.phase == admission.Dispatched:
		m.state.Dispatch(r.ID, m.now)
	}
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// check lets the machine decide until it has nothing more and compares with the model, also in every answer.
func (m *model) check(t *rapid.T) {
	got := map[admission.Queue][]admission.ID{}
	for {
		a, ok := m.state.Next(m.now)
		if !ok {
			break
		}
		got[a.Queue] = append(got[a.Queue], a.ID)
	}
	want := map[admission.Queue][]admission.ID{}
	for _, r := range m.all {
		if waiting(r) && m.admits(r.Queue) {
			r.phase = admission.Dispatched
			want[r.Queue] = append(want[r.Queue], r.ID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("admitted (-want +got):\n%s", diff)
	}
	m.compareAnswers(t)
}

func (m *model) admits(q admission.Queue) bool {
	limit := m.limits[q.Action]
	return !m.paused[q.Action] && (limit == 0 || len(m.in(q, holding)) < limit)
}

func (m *model) in(q admission.Queue, ok func(*request) bool) (ids []admission.ID) {
	for _, r := range m.all {
		if r.Queue == q && ok(r) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func (m *model) compareAnswers(t *rapid.T) {
	totalWaiting, totalHolding := 0, 0
	for _, a := range actions {
		sum := 0
		for _, k := range keys {
			q := admission.Queue{Action: a, Key: k}
			w, h := m.in(q, waiting), m.in(q, holding)
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
}

func (m *model) compareQueue(t *rapid.T, q admission.Queue, w, h []admission.ID) {
	st := m.state.Stats(q, m.now)
	if st.Waiting != len(w) || st.Running != len(h) || st.Paused != m.paused[q.Action] {
		t.Fatalf("queue %v: %+v, want %d waiting %d holding", q, st, len(w), len(h))
	}
	var line []admission.ID
	for _, p := range m.state.Line(q, 0, 1000) {
		line = append(line, p.ID)
	}
	if diff := cmp.Diff(slices.Concat(h, w), line); diff != "" {
		t.Fatalf("line of %v (-want +got):\n%s", q, diff)
	}
	for i, id := range w {
		if p, ok := m.state.Locate(id); !ok || p.Position != i+1 {
			t.Fatalf("position of %v: %+v, want %d", id, p, i+1)
		}
	}
}

// The machine decides like a FIFO with slots whatever happens, and a machine that was rebuilt from the streams
// decides like the one that it replaces.
func TestDecidesLikeAFIFOWithSlots(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "request": m.request, "request again": m.request, "redeliver": m.redeliver, "start": m.start,
			"dispatch": m.dispatch, "end": m.end, "end as well": m.end, "cancel": m.cancel, "end twice": m.endAgain,
			"delete message": m.remove, "limit": m.limit, "pause": m.pause, "resume": m.resume, "rebuild": m.rebuild,
		})
	})
}
