package scheduler

import (
	"container/heap"
	"context"
	"time"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/streams"
)

// pace is how long a leader waits before it looks after things.
type pace struct {
	// claim is how long a dispatched execution may go unclaimed. It doubles with every look that finds it
	// still waiting for a runner with a free slot.
	claim time.Duration
	// unsent is how soon a dispatch that the server did not acknowledge is looked after.
	unsent time.Duration
	// orphan is how long a requested fact may stand without its queue message. Then its requester has died
	// between the two, and nobody may ever repeat the request.
	orphan time.Duration
	// visit is how often runners that run something are looked at: the server tells of an entry that expired,
	// this is for what it did not tell.
	visit time.Duration
	// silence is how long nothing may be heard of a runner before its entry is read.
	silence time.Duration
	// newcomer is how long a runner may run something before its entry is seen for the first time.
	newcomer time.Duration
	// spool is what a restarted runner has to deliver the results of its former life.
	spool time.Duration
	// recovery is after which part of a term history is compared with the streams once more.
	recovery time.Duration
}

var usualPace = pace{
	claim: 2 * time.Second, unsent: 200 * time.Millisecond, orphan: 5 * time.Second, visit: 2 * time.Second,
	silence: streams.RunnerTTL + 2*time.Second, newcomer: 5 * time.Second, spool: 5 * time.Second, recovery: 30 * time.Second,
}

const (
	// maxClaimLevel bounds the doubling of pace.claim: about four minutes.
	maxClaimLevel = 7
	// dueGrain bounds how often the loop is woken by what is due.
	dueGrain = 20 * time.Millisecond
)

// dueKind says what is to be done at a time.
type dueKind uint8

const (
	dueClaim  dueKind = iota // has a runner claimed it?
	dueOrphan                // has it been queued?
	dueBereft                // is it still running on a runner that has been restarted?
	dueFleet                 // are the runners that run something alive?
	dueAsked                 // is somebody still waiting for an answer?
)

type due struct {
	at      time.Time
	id      admission.ID
	attempt int32
	kind    dueKind
	level   uint8
}

// dues is what has to be looked at later, with one timer that runs only while there is something.
type dues struct {
	timer *time.Timer
	armed time.Time // when the timer fires; zero when it does not
	heap  dueHeap
}

func newDues() *dues {
	d := &dues{timer: time.NewTimer(time.Hour)}
	d.timer.Stop()
	return d
}

func (d *dues) stop() { d.timer.Stop() }

func (d *dues) add(at time.Time, what due) {
	what.at = at
	heap.Push(&d.heap, what)
	if d.armed.IsZero() || at.Before(d.armed) {
		d.arm(at)
	}
}

func (d *dues) arm(at time.Time) {
	d.armed = at
	d.timer.Reset(time.Until(at))
}

// pop gives all that is due and sets the timer for the rest.
func (d *dues) pop(now time.Time) []due {
	var all []due
	for len(d.heap) > 0 && !d.heap[0].at.After(now) {
		all = append(all, heap.Pop(&d.heap).(due))
	}
	d.armed = time.Time{}
	if len(d.heap) > 0 {
		next := d.heap[0].at
		if soonest := now.Add(dueGrain); next.Before(soonest) {
			next = soonest
		}
		d.arm(next)
	}
	return all
}

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *dueHeap) Push(x any) { *h = append(*h, x.(due)) }

// Pop is for container/heap.
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// onDue sorts what is due to those who look after it. What has moved on meanwhile, nearly all, costs nothing.
func (t *term) onDue(ctx context.Context, now time.Time) {
	for _, d := range t.dues.pop(now) {
		switch d.kind {
		case dueClaim:
			t.suspectUnclaimed(d)
		case dueOrphan:
			t.suspectOrphan(d)
		case dueBereft:
			t.bereaved.put(t.fleet.restarted(d.id)...)
		case dueFleet:
			t.visitFleet(ctx, now)
		case dueAsked:
			t.answerRead()
		}
	}
}

func (t *term) suspectUnclaimed(d due) {
	if p, ok := t.state.Find(d.id); ok && p.Phase == admission.Dispatched {
		t.suspects.put(suspect{place: p, level: d.level})
	}
}

func (t *term) suspectOrphan(d due) {
	if _, known := t.state.Find(d.id); known || t.state.HasEnded(d.id, int(d.attempt)) {
		return
	}
	t.suspects.put(suspect{place: admission.Place{ID: d.id, Attempt: int(d.attempt)}, orphan: true})
}
