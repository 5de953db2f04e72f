package streams

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// plainSize is about what a decision takes of which AppendTo knows the shape.
const plainSize = 320

// AppendTo writes the decision after b as JSON, as json.Marshal does. Most decisions say nothing of any rule; these are put
// together here, in a fifth of the time.
func (d Decision) AppendTo(b []byte) ([]byte, error) {
	if d.Reason != "" || len(d.Rules) > 0 || !plain(d.EventID, d.Trigger, string(d.Status), d.RuleSet) {
		data, err := json.Marshal(d)
		return append(b, data...), err
	}
	b = append(slices.Grow(b, plainSize), `{"v":`...)
	b = strconv.AppendInt(b, int64(d.Version), 10)
	b = append(append(b, `,"event_id":"`...), d.EventID...)
	b = strconv.AppendUint(append(b, `","event_seq":`...), d.EventSeq, 10)
	b = append(append(b, `,"trigger":"`...), d.Trigger...)
	b, err := appendTime(append(b, `","at":`...), d.At)
	if err != nil {
		return nil, err
	}
	if !d.ReceivedAt.IsZero() {
		if b, err = appendTime(append(b, `,"received_at":`...), d.ReceivedAt); err != nil {
			return nil, err
		}
	}
	b = append(append(b, `,"status":"`...), d.Status...)
	if d.RuleSet != "" {
		b = append(append(b, `","rule_set":"`...), d.RuleSet...)
	}
	return append(b, `"}`...), nil
}

// appendTime writes a time as encoding/json does.
func appendTime(b []byte, t time.Time) ([]byte, error) {
	b, err := t.AppendText(append(b, '"'))
	return append(b, '"'), err
}

// plain tells whether texts stand in JSON as they are.
func plain(texts ...string) bool {
	for _, s := range texts {
		for i := range len(s) {
			switch c := s[i]; {
			case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
				return false
			}
		}
	}
	return true
}
