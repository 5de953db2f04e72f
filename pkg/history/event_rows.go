package history

import (
	"cmp"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/streams"
)

// eventRows is what a batch says of events: of each the first message, its newest decision, and the first time that is
// said of its arrival.
type eventRows struct {
	places   map[string]int // of the events in the slices
	ids      []string
	received []time.Time
	events   []*Received         // nil: only decisions
	newest   []*streams.Decision // nil: none
	rules    map[ruleOf]ruleDecision
}

// ruleOf is a rule that was asked about an event.
type ruleOf struct{ event, rule string }

type ruleDecision struct {
	streams.RuleDecision
	at time.Time
}

func newEventRows(most int) *eventRows {
	return &eventRows{
		places: make(map[string]int, most), ids: make([]string, 0, most), received: make([]time.Time, 0, most),
		events: make([]*Received, 0, most), newest: make([]*streams.Decision, 0, most), rules: map[ruleOf]ruleDecision{},
	}
}

// place gives the place of an event that is now said to have been received at some time.
func (r *eventRows) place(id string, received time.Time) int {
	i, ok := r.places[id]
	if !ok {
		i = len(r.ids)
		r.places[id] = i
		r.ids, r.received, r.events, r.newest = append(r.ids, id), append(r.received, received), append(r.events, nil), append(r.newest, nil)
	}
	if received.Before(r.received[i]) {
		r.received[i] = received
	}
	return i
}

func (r *eventRows) receive(e *Received) {
	i := r.place(e.ID, micro(e.ReceivedAt))
	if seen := r.events[i]; seen == nil || isEarlier(e, seen) {
		r.events[i] = e
	}
}

func isEarlier(a, b *Received) bool {
	return cmp.Or(micro(a.ReceivedAt).Compare(micro(b.ReceivedAt)), cmp.Compare(a.Sequence, b.Sequence)) < 0
}

func (r *eventRows) decide(d *streams.Decision) {
	at, received := micro(d.At), micro(d.ReceivedAt)
	if d.ReceivedAt.IsZero() { // of a rules service that did not say
		received = at
	}
	i := r.place(d.EventID, received)
	if seen := r.newest[i]; seen == nil || at.After(micro(seen.At)) {
		r.newest[i] = d
	}
	for _, rule := range d.Rules {
		of := ruleOf{d.EventID, rule.Rule}
		if seen, ok := r.rules[of]; !ok || at.After(seen.at) {
			r.rules[of] = ruleDecision{RuleDecision: rule, at: at}
		}
	}
}

// eventColumns are the arguments of apply_events.sql.
type eventColumns struct {
	seqs, hops                                           numbers
	triggers, statuses, reasons, sets, payloads, sources texts
	raws                                                 [][]byte // nil: none has one
	times, received, decided                             times
	projected                                            flags
}

func (r *eventRows) columns() []any {
	n := len(r.ids)
	c := eventColumns{
		seqs: room[pgtype.Int8](n), hops: room[pgtype.Int8](n), triggers: room[pgtype.Text](n), statuses: room[pgtype.Text](n),
		reasons: room[pgtype.Text](n), sets: room[pgtype.Text](n), payloads: room[pgtype.Text](n), sources: room[pgtype.Text](n),
		times: room[pgtype.Timestamptz](n), received: room[pgtype.Timestamptz](n), decided: room[pgtype.Timestamptz](n), projected: room[pgtype.Bool](n),
	}
	for i := range r.ids {
		c.add(r.events[i], r.newest[i], r.received[i])
	}
	return []any{
		r.ids, c.seqs, c.triggers, c.statuses, c.reasons, c.sets, c.payloads, c.raws, c.sources, c.hops, c.times, c.received, c.decided, c.projected,
	}
}

// add takes an event, a decision about one, or both.
func (c *eventColumns) add(e *Received, d *streams.Decision, received time.Time) {
	c.projected = append(c.projected, flag(e != nil))
	if e == nil {
		e = &Received{Event: event.Event{Trigger: d.Trigger, Sequence: d.EventSeq, Time: received}}
	}
	c.addOutcome(e, d)
	c.seqs = append(c.seqs, number(int64(e.Sequence)))
	c.triggers = append(c.triggers, exactly(e.Trigger))
	c.sources = append(c.sources, text(e.Source))
	c.hops = append(c.hops, number(e.Hops))
	c.times = append(c.times, moment(e.Time))
	c.received = append(c.received, moment(received))
	payload := document(e.Payload)
	if e.Reason != "" {
		payload = pgtype.Text{}
		if c.raws == nil {
			c.raws = make([][]byte, cap(c.payloads))
		}
		c.raws[len(c.payloads)] = bounded(e.Raw)
	}
	c.payloads = append(c.payloads, payload)
}

// addOutcome takes what became of an event: what was decided or, before that, whether it is acceptable.
func (c *eventColumns) addOutcome(e *Received, d *streams.Decision) {
	status, reason := streams.EventReceived, e.Reason
	if reason != "" {
		status = streams.EventRejected
	}
	var set pgtype.Text
	var decided pgtype.Timestamptz
	if d != nil {
		status, reason, set, decided = d.Status, d.Reason, text(d.RuleSet), moment(micro(d.At))
	}
	c.statuses = append(c.statuses, exactly(string(status)))
	c.reasons = append(c.reasons, text(reason))
	c.sets = append(c.sets, set)
	c.decided = append(c.decided, decided)
}

// decisionColumns gives the arguments of apply_decisions.sql.
func (r *eventRows) decisionColumns() []any {
	n := len(r.rules)
	events, names, outcomes, reasons := room[pgtype.Text](n), room[pgtype.Text](n), room[pgtype.Text](n), room[pgtype.Text](n)
	executions, actions := room[pgtype.Text](n), room[pgtype.Text](n)
	eventsAt, at := room[pgtype.Timestamptz](n), room[pgtype.Timestamptz](n)
	for of, d := range r.rules {
		events = append(events, exactly(of.event))
		eventsAt = append(eventsAt, moment(r.received[r.places[of.event]]))
		names = append(names, exactly(of.rule))
		outcomes = append(outcomes, exactly(string(d.Outcome)))
		reasons = append(reasons, because(d.RuleDecision))
		executions = append(executions, requested(d.RuleDecision))
		actions = append(actions, text(d.Action))
		at = append(at, moment(d.at))
	}
	return []any{events, eventsAt, names, outcomes, reasons, executions, actions, at}
}

// because gives a decision's reason. What did not match has one in any case.
func because(r streams.RuleDecision) pgtype.Text {
	if r.Reason == "" && r.Outcome != streams.Matched {
		return exactly("no reason was given")
	}
	return text(r.Reason)
}

// requested gives the execution that a decision led to. One that was suppressed led to none, whatever it names.
func requested(r streams.RuleDecision) pgtype.Text {
	if r.Outcome != streams.Matched {
		return pgtype.Text{}
	}
	return text(r.Execution)
}
