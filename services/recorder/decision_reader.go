package recorder

import (
	"github.com/attune/attune/pkg/plainjson"
	"github.com/attune/attune/streams"
)

func parseDecision(data []byte) (streams.Decision, error) {
	d, err := plainjson.Unmarshal(data, readDecision)
	return d, streams.CheckParsed("decision", d.Version, err)
}

// readDecision reads a decision that is in the plain form, in which the rules service writes them, and tells whether it
// is.
func readDecision(data []byte) (d streams.Decision, ok bool) {
	r := plainjson.New(data)
	r.Object(func(key string) bool {
		switch key {
		case "v":
			d.Version = r.Int()
		case "event_id":
			d.EventID = r.Text()
		case "event_seq":
			d.EventSeq = r.Uint64()
		case "trigger":
			d.Trigger = r.Text()
		case "at":
			d.At = r.Time()
		case "received_at":
			d.ReceivedAt = r.Time()
		case "status":
			d.Status = streams.EventStatus(r.Text())
		case "reason":
			d.Reason = r.Text()
		case "rule_set":
			d.RuleSet = r.Text()
		case "rules":
			d.Rules = []streams.RuleDecision{}
			r.Array(func() { d.Rules = append(d.Rules, readRule(r)) })
		default:
			return false
		}
		return true
	})
	return d, r.Done()
}

func readRule(r *plainjson.Reader) (d streams.RuleDecision) {
	r.Object(func(key string) bool {
		switch key {
		case "rule":
			d.Rule = r.Text()
		case "outcome":
			d.Outcome = streams.Outcome(r.Text())
		case "reason":
			d.Reason = r.Text()
		case "execution":
			d.Execution = r.Text()
		case "action":
			d.Action = r.Text()
		default:
			return false
		}
		return true
	})
	return d
}
