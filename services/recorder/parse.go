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

func parseDecision(m jetstream.Msg) (streams.Decision, error) {
	var d streams.Decision
	if err := json.Unmarshal(m.Data(), &d); err != nil {
		return d, fmt.Errorf("parse decision: %w", err)
	}
	if d.Version < 1 || d.Version > streams.Version {
		return d, fmt.Errorf("parse decision: version %d is not known", d.Version)
	}
	return d, nil
}

func parseFact(m jetstream.Msg) (history.FactAt, error) {
	f, err := execution.ParseFact(m.Data())
	if err != nil {
		return history.FactAt{}, err
	}
	packName, action, id, err := streams.ExecutionTokens(m.Subject())
	if err != nil {
		return history.FactAt{}, err
	}
	if f.ID != id || f.Action != packName+"."+action {
		return history.FactAt{}, fmt.Errorf("fact of execution %.80q of %.80q: %w", f.ID, f.Action, errNotOurs)
	}
	meta, err := m.Metadata()
	if err != nil {
		return history.FactAt{}, fmt.Errorf("fact of execution %s: %w", id, err)
	}
	return history.FactAt{Fact: f, Seq: meta.Sequence.Stream}, nil
}
