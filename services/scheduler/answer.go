package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
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
		streams.RPCQueueList:     t.answerWith(ctx, func([]byte) any { return t.list() }),
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

func (t *term) list() streams.QueueList {
	now := time.Now()
	out := streams.QueueList{Queues: []streams.QueueStats{}}
	for q := range t.state.Queues() {
		out.Queues = append(out.Queues, statsOf(q.Action, q.Key, t.state.Stats(q, now)))
	}
	for ref := range t.state.Paused() {
		if st := t.state.ActionStats(ref, now); st.Waiting+st.Running == 0 {
			out.Queues = append(out.Queues, statsOf(ref, "", st))
		}
	}
	slices.SortFunc(out.Queues, func(a, b streams.QueueStats) int {
		return strings.Compare(a.Action+"\x00"+a.Key, b.Action+"\x00"+b.Key)
	})
	return out
}

func (t *term) stats(request []byte) streams.QueueStats {
	r, ref, err := parseQueueRequest(request)
	if err != nil {
		return streams.QueueStats{Action: r.Action}
	}
	return t.statsFor(r, ref)
}

func (t *term) statsFor(r streams.QueueRequest, ref pack.Ref) streams.QueueStats {
	if r.Key == "" {
		return statsOf(ref, "", t.state.ActionStats(ref, time.Now()))
	}
	return statsOf(ref, r.Key, t.state.Stats(admission.Queue{Action: ref, Key: r.Key}, time.Now()))
}

func (t *term) show(request []byte) streams.QueueView {
	r, ref, err := parseQueueRequest(request)
	if err != nil {
		return streams.QueueView{Error: err.Error()}
	}
	limit := r.Limit
	if limit <= 0 {
		limit = defaultLine
	}
	view := streams.QueueView{QueueStats: t.statsFor(r, ref), Entries: []streams.QueueEntry{}}
	for _, p := range t.state.Line(admission.Queue{Action: ref, Key: r.Key}, max(r.Offset, 0), min(limit, maxLine)) {
		view.Entries = append(view.Entries, entryOf(p))
	}
	return view
}

func parseQueueRequest(data []byte) (streams.QueueRequest, pack.Ref, error) {
	var r streams.QueueRequest
	if err := json.Unmarshal(data, &r); err != nil {
		return r, pack.Ref{}, fmt.Errorf("question about a queue: %w", err)
	}
	ref, err := pack.ParseRef(r.Action)
	return r, ref, err
}

func statsOf(ref pack.Ref, key string, st admission.Stats) streams.QueueStats {
	return streams.QueueStats{
		Action: ref.String(), Key: key, Waiting: st.Waiting, Running: st.Running, Limit: st.Limit, Paused: st.Paused,
		AvgWaitSeconds: st.AvgWait.Seconds(), OldestWaitSeconds: st.Oldest.Seconds(), EstimatedDrainSeconds: st.Drain.Seconds(),
	}
}

func entryOf(p admission.Place) streams.QueueEntry {
	status := streams.Requested
	if p.Phase == admission.Started {
		status = streams.Running
	}
	return streams.QueueEntry{ID: p.ID.String(), Key: p.Queue.Key, Position: p.Position, Status: status, RequestedAt: p.Requested}
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
	p, known := t.state.Locate(q.id)
	if !known && t.read < q.after && now.Before(q.until) {
		return false
	}
	q.reply(streams.Position{ID: q.id.String(), Position: p.Position, Known: known})
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
