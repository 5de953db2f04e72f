package streams_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/attune/attune/streams"
)

// FuzzDecisionAppendTo has decisions be on the bus what encoding/json makes of them, errors included.
func FuzzDecisionAppendTo(f *testing.F) {
	const id, seconds = "0192a8d4-7a60-7b44-9f5e-0123456789ab", 1_700_000_000
	for _, c := range []struct {
		at, received         int64
		trigger, reason, set string
		rules                bool
	}{
		{seconds, seconds, "web.alert", "", id, false},
		{seconds, 0, "web.alert", "", "", false},
		{seconds, seconds, "web.alert", "", id, true},
		{seconds, seconds, "web.alert.x", `subject "x" names no trigger`, "", false},
		{1 << 40, seconds, "web.alert", "", id, false},
		{seconds, 1 << 40, "web.alert", "", id, false},
		{seconds, seconds, "web.<&>", "", id, false},
		{seconds, seconds, "web.\"\\\n\x00\x7f", "", id, false},
		{seconds, seconds, "web.\u00e4\u2028\xff", "", id, false},
		{seconds, seconds, "", "", "", false},
	} {
		f.Add(id, uint64(7), c.trigger, c.at, c.received, int64(120_000), 3600, c.reason, c.set, c.rules)
	}
	f.Fuzz(func(t *testing.T, id string, seq uint64, trigger string, at, received, nanos int64, zone int, reason, set string, rules bool) {
		d := streams.Decision{
			Version: streams.Version, EventID: id, EventSeq: seq, Trigger: trigger, At: time.Unix(at, nanos).In(time.FixedZone("", zone)),
			Status: streams.EventDecided, Reason: reason, RuleSet: set,
		}
		if received != 0 {
			d.ReceivedAt = time.Unix(received, nanos).UTC()
		}
		if rules {
			d.Rules = []streams.RuleDecision{{Rule: "web.restart", Outcome: streams.Errored, Reason: reason}}
		}
		want, wantErr := json.Marshal(d)
		got, err := d.AppendTo([]byte("before"))
		if err == nil && string(got) != "before"+string(want) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s, %v\nencoding/json gives %s, %v", got, err, want, wantErr)
		}
	})
}

// A field that a decision gets has to be written by AppendTo too, and be in the test above.
func TestDecisionAppendToKnowsEveryField(t *testing.T) {
	t.Parallel()
	if n := reflect.TypeFor[streams.Decision]().NumField(); n != 10 {
		t.Errorf("a decision has %d fields", n)
	}
}

// BenchmarkDecisionAppendTo writes a decision of rules that do not match, and one with a rule that does.
func BenchmarkDecisionAppendTo(b *testing.B) {
	const id = "0192a8d4-7a60-7b44-9f5e-0123456789ab"
	d := streams.Decision{
		Version: streams.Version, EventID: id, EventSeq: 123_456, Trigger: "web.alert", At: time.Now().UTC(), ReceivedAt: time.Now().UTC(),
		Status: streams.EventDecided, RuleSet: id,
	}
	matched := d
	matched.Rules = []streams.RuleDecision{{Rule: "web.restart", Outcome: streams.Matched, Execution: id, Action: "web.restart"}}
	for name, d := range map[string]streams.Decision{"no rule": d, "one rule": matched} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var data []byte
			for b.Loop() {
				var err error
				if data, err = d.AppendTo(data[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
