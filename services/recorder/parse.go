package recorder

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// errNotOurs is returned for a message that is not what its subject says.
var errNotOurs = errors.New("message does not belong on its subject")

// parseEvent never fails for what a publisher did: an event that is not acceptable is an event that was
// rejected, for everybody to see.
func parseEvent(m jetstream.Msg) (history.Received, error) {
	msg, err := event.FromJetStream(m)
	if err != nil {
		return history.Received{}, err
	}
	e, err := event.FromMessage(msg)
	if err != nil {
		return history.Received{Event: e, Reason: err.Error(), Raw: msg.Data}, nil
	}
	return history.Received{Event: e}, nil
}

// ruling is a message of DECISIONS.
type ruling struct {
	decision streams.Decision
	set      *streams.RuleSet // that it is in place of a decision; nil: it is none
}

func parseRuling(m jetstream.Msg) (r ruling, err error) {
	if streams.IsRuleSet(m.Subject()) {
		r.set, err = parseRuleSet(m)
		return r, err
	}
	r.decision, err = parseDecision(m.Data())
	return r, err
}

func parseRuleSet(m jetstream.Msg) (*streams.RuleSet, error) {
	var s streams.RuleSet
	err := json.Unmarshal(m.Data(), &s)
	return &s, streams.CheckParsed("set of rules", s.Version, err)
}

// parseFact reads what subject and headers say of a fact. All of it is read only where that is needed: of a request, whose
// parameters no other fact has, and of the newest fact of each execution in a batch.
func parseFact(m jetstream.Msg) (history.FactAt, error) {
	meta, err := m.Metadata()
	if err != nil {
		return history.FactAt{}, fmt.Errorf("fact on %.200q: %w", m.Subject(), err)
	}
	at := history.FactAt{Seq: meta.Sequence.Stream}
	head, err := execution.ParseHead(m.Subject(), m.Headers())
	if err != nil || head.Status == streams.Requested {
		at.Fact, err = wholeFact(m)
		return at, err
	}
	at.Fact = streams.Fact{ID: head.ID, Action: head.Action.String(), Status: head.Status, Attempt: head.Attempt}
	at.Whole = func() (streams.Fact, error) {
		f, err := wholeFact(m)
		if err == nil && (f.Status != head.Status || f.Attempt != head.Attempt) {
			err = fmt.Errorf("fact of execution %s is %s, its header says %s: %w", f.ID, f.Status, head.Status, errNotOurs)
		}
		return f, err
	}
	return at, nil
}

func wholeFact(m jetstream.Msg) (streams.Fact, error) {
	f, err := execution.ParseFact(m.Data())
	if err != nil {
		return f, err
	}
	packName, action, id, err := streams.ExecutionTokens(m.Subject())
	if err != nil {
		return f, err
	}
	if f.ID != id || f.Action != packName+"."+action {
		return f, fmt.Errorf("fact of execution %.80q of %.80q: %w", f.ID, f.Action, errNotOurs)
	}
	return f, nil
}
