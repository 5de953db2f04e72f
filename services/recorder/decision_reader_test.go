package recorder

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/streams"
)

// wholeDecision is a decision with something in each of its fields, as the rules service writes it.
func wholeDecision(t testing.TB) []byte {
	t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	d := streams.Decision{
		Version: streams.Version, EventID: uuid.NewString(), EventSeq: 1 << 40, Trigger: "web.alert", At: at, ReceivedAt: at, Status: streams.EventDecided,
		Reason: "a <reason>", RuleSet: uuid.NewString(), Rules: []streams.RuleDecision{
			{Rule: "web.down", Outcome: streams.Matched, Reason: "é", Execution: uuid.NewString(), Action: "web.restart"}, {},
		},
	}
	for _, v := range []reflect.Value{reflect.ValueOf(d), reflect.ValueOf(d.Rules[0])} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Fatalf("%s.%s is in no decision of this test", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Decisions in the plain form would else be read by encoding/json, and nobody would notice.
func TestADecisionAsItIsWrittenIsReadWithoutReflection(t *testing.T) {
	t.Parallel()
	data := wholeDecision(t)
	var want streams.Decision
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	got, ok := readDecision(data)
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %t; want %+v", got, ok, want)
	}
}

func TestADecisionInAnotherFormIsRead(t *testing.T) {
	t.Parallel()
	d, err := parseDecision([]byte(` { "v": 1, "EVENT_ID": "a", "rules": [ { "rule": "web.down", "later": true } ] } `))
	want := streams.Decision{Version: 1, EventID: "a", Rules: []streams.RuleDecision{{Rule: "web.down"}}}
	if err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("got %+v, %v; want %+v", d, err, want)
	}
}

func FuzzADecisionIsReadAsEncodingJSONReadsIt(f *testing.F) {
	f.Add(wholeDecision(f))
	f.Add([]byte(`{"v":1,"rules":[{"rule":"a"}],"rules":[{"action":"b"},{}],"rules":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := readDecision(data)
		if !ok {
			return
		}
		var want streams.Decision
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q was read, and encoding/json refuses it: %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v", data, got, want)
		}
	})
}
