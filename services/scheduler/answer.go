package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

const (
	// defaultLine and maxLine are how many executions of a line one answer lists.
	defaultLine = 100
	maxLine     = 10_000
	// maxList is how many queues one answer lists, and maxListBytes about how many bytes: keys may be long.
	maxList      = 1000
	maxListBytes = 1 << 20
	statsBytes   = 500
	// askPatience is how long a question about a message of QUEUE waits for that message.
	askPatience = time.Second
)

// waitingAnswer is a question about an execution whose queue message the leader has not read yet.
type waitingAnswer struct {
	id    admission.ID
	after uint64
	until time.Time
	reply func(streams.Position)
}

// answer subscribes to the questions about queues.
func (t *term) answer(ctx context.Context) (func(), error) {
	var subs []*nats.Subscription
	stop := func() {
		for _, s := range subs {
			_ = s.Unsubscribe() // it fails on a closed connection, which has no subscriptions
		}
	}
	for subject, handle := range map[string]nats.MsgHandler{
		streams.RPCQueueList:     t.answerWith(ctx, func(request []byte) any { return t.list(request) }),
		streams.RPCQueueShow:     t.answerWith(ctx, func(request []byte) any { return t.show(request) }),
		streams.RPCQueueStats:    t.answerWith(ctx, func(request []byte) any { return t.stats(request) }),
		streams.RPCQueuePosition: func(m *nats.Msg) { _ = t.do(ctx, func() { t.askPosition(ctx, m) }) },
	} {
		s, err := t.Bus.Conn.Subscribe(subject, handle)
		if err != nil {
			return stop, fmt.Errorf("answer %s: %w", subject, err)
		}
		subs = append(subs, s)
	}
	if err := t.Bus.Conn.FlushTimeout(answerTimeout); err != nil { // from here on everybody reaches this leader
		return stop, fmt.Errorf("answer questions: %w", err)
	}
	return stop, nil
}

// answerWith looks on the loop and encodes elsewhere: a list may be long. When the term ends in between there
// is no answer; the next leader will be asked.
func (t *term) answerWith(ctx context.Context, look func(request []byte) any) nats.MsgHandler {
	return func(m *nats.Msg) {
		var reply any
		if t.do(ctx, func() { reply = look(m.Data) }) == nil {
			t.respond(ctx, m, reply)
		}
	}
}

func (t *term) respond(ctx context.Context, m *nats.Msg, reply any) {
	data, err := json.Marshal(reply)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		t.Logger.WarnContext(ctx, "question not answered", slog.String("subject", m.Subject), slog.Any(logging.Error, err))
	}
}

// list gives the queues after one. Only those that are given are looked at closely.
func (t *term) list(request []byte) streams.QueueList {
	var r streams.QueueListRequest
	_ = json.Unmarshal(request, &r) // who asks for nothing in particular gets the first ones
	if r.Limit <= 0 || r.Limit > maxList {
		r.Limit = defaultLine
	}
	names, more := t.namesAfter(r)
	out := streams.QueueList{Queues: []streams.QueueStats{}, More: more}
	now, size := time.Now(), 0
	for _, q := range names {
		if size += len(q.Key) + statsBytes; size > maxListBytes {
			out.More = true
			break
		}
		out.Queues = append(out.Queues, statsOf(q.Action.String(), q.Key, t.state.Stats(q, now)))
	}
	return out
}

// namesAfter gives the names of queues in order, and tells whether there are others after them.
func (t *term) namesAfter(r streams.QueueListRequest) ([]admission.Queue, bool) {
	after := r.AfterAction + "\x00" + r.AfterKey
	order := func(q admission.Queue) string { return q.Action.String() + "\x00" + q.Key }
	names := map[admission.Queue]string{}
	for q := range t.state.Queues() {
		if name := order(q); name > after {
			names[q] = name
		}
	}
	for ref := range t.state.Controlled() {
		if q := (admission.Queue{Action: ref}); order(q) > after && !t.state.Busy(ref) {
			names[q] = order(q)
		}
	}
	sorted := slices.SortedFunc(maps.Keys(names), func(a, b admission.Queue) int { return strings.Compare(names[a], names[b]) })
	return sorted[:min(len(sorted), r.Limit)], len(sorted) > r.Limit
}

func (t *term) stats(request []byte) streams.QueueStats {
	var r streams.QueueRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return streams.QueueStats{}
	}
	return t.statsFor(r)
}

// statsFor says how an action stands, one of its keys, a pack, or all.
func (t *term) statsFor(r streams.QueueRequest) streams.QueueStats {
	now := time.Now()
	ref, err := pack.ParseRef(r.Action)
	switch {
	case err != nil:
		return statsOf(r.Action, "", t.state.ScopeStats(r.Action, now))
	case r.Key == "":
		return statsOf(r.Action, "", t.state.ActionStats(ref, now))
	}
	return statsOf(r.Action, r.Key, t.state.Stats(admission.Queue{Action: ref, Key: r.Key}, now))
}

func (t *term) show(request []byte) streams.QueueView {
	var r streams.QueueRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return streams.QueueView{Error: fmt.Sprintf("question about a queue: %v", err)}
	}
	ref, err := pack.ParseRef(r.Action)
	if err != nil {
		return streams.QueueView{Error: err.Error()}
	}
	limit := r.Limit
	if limit <= 0 {
		limit = defaultLine
	}
	view := streams.QueueView{QueueStats: t.statsFor(r), Entries: []streams.QueueEntry{}}
	for _, p := range t.state.Line(admission.Queue{Action: ref, Key: r.Key}, max(r.Offset, 0), min(limit, maxLine), time.Now()) {
		view.Entries = append(view.Entries, entryOf(p))
	}
	return view
}

func statsOf(scope, key string, st admission.Stats) streams.QueueStats {
	out := streams.QueueStats{
		Action: scope, Key: key, Waiting: st.Waiting, Running: st.Running, Delayed: st.Delayed, Limit: st.Limit, Rate: st.Rate.String(),
		Paused: st.Paused, PausedUntil: timeOrNil(st.Until), Draining: st.Draining, AvgWaitSeconds: st.AvgWait.Seconds(),
		OldestWaitSeconds: st.Oldest.Seconds(), EstimatedDrainSeconds: st.Drain.Seconds(), BlockedBy: st.BlockedBy,
	}
	if st.EstimateError >= 0 {
		out.EstimateError = &st.EstimateError
	}
	return out
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// priorityNames are the names of the machine's priorities.
var priorityNames = map[admission.Priority]streams.Priority{
	admission.High: streams.PriorityHigh, admission.Normal: streams.PriorityNormal, admission.Low: streams.PriorityLow,
}

func entryOf(p admission.Place) streams.QueueEntry {
	e := streams.QueueEntry{
		ID: p.ID.String(), Key: p.Queue.Key, Position: p.Position, Status: streams.Requested, Attempt: p.Attempt,
		Priority: priorityNames[p.Priority], RequestedAt: p.Since, EstimatedStartAt: timeOrNil(p.Starts),
	}
	switch p.Phase {
	case admission.Started:
		e.Status = streams.Running
	case admission.Delayed, admission.Held:
		e.NotBefore = &p.Since
	case admission.Waiting, admission.Dispatched, admission.Leaving:
	}
	return e
}

// askPosition answers at once when the execution is known, and else when its queue message has been read.
func (t *term) askPosition(ctx context.Context, m *nats.Msg) {
	var r streams.PositionRequest
	if err := json.Unmarshal(m.Data, &r); err != nil {
		t.respond(ctx, m, streams.Position{})
		return
	}
	id, err := parseID(r.ID)
	if err != nil {
		t.respond(ctx, m, streams.Position{ID: r.ID})
		return
	}
	q := waitingAnswer{id: id, after: r.After, until: time.Now().Add(askPatience), reply: func(p streams.Position) { t.respond(ctx, m, p) }}
	if t.answerPosition(q, time.Now()) {
		return
	}
	t.asking = append(t.asking, q)
	t.dues.add(q.until, due{kind: dueAsked})
}

// answerPosition tells whether it could answer: once the message was read, or the patience is over.
func (t *term) answerPosition(q waitingAnswer, now time.Time) bool {
	p, known := t.state.Locate(q.id, now)
	if !known && t.read < q.after && now.Before(q.until) {
		return false
	}
	answer := streams.Position{ID: q.id.String(), Position: p.Position, Known: known, Refused: p.Refused, EstimatedStartAt: timeOrNil(p.Starts)}
	if off, ok := t.state.EstimateError(p.Queue.Action); ok && answer.EstimatedStartAt != nil {
		answer.EstimateError = &off
	}
	q.reply(answer)
	return true
}

// answerRead answers who waited for what has been read now.
func (t *term) answerRead() {
	if len(t.asking) == 0 {
		return
	}
	now := time.Now()
	t.asking = slices.DeleteFunc(t.asking, func(q waitingAnswer) bool { return t.answerPosition(q, now) })
}
