package pack

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/streams"
)

func TestARetryPolicyTravelsInSeconds(t *testing.T) {
	t.Parallel()
	both := []streams.Status{streams.Failed, streams.TimedOut}
	cases := map[string]struct {
		given *Retry
		want  *streams.Retry
	}{
		"none":  {nil, nil},
		"least": {&Retry{Attempts: 2}, &streams.Retry{Attempts: 2, On: both}},
		"yield": {&Retry{Attempts: 2, Order: RetryYield}, &streams.Retry{Attempts: 2, On: both}},
		"whole": {
			&Retry{
				Attempts: 5, Delay: Duration(1500 * time.Millisecond), Backoff: 2, MaxDelay: Duration(time.Minute), Jitter: 0.25,
				On: []streams.Status{streams.Lost}, Order: RetryHold,
			},
			&streams.Retry{Attempts: 5, DelaySeconds: 1.5, Backoff: 2, MaxDelaySeconds: 60, Jitter: 0.25, On: []streams.Status{streams.Lost}, Hold: true},
		},
	}
	for name, c := range cases {
		if diff := cmp.Diff(c.want, c.given.Wire()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A policy on the bus is nobody's to change, and least of all the default.
func TestAPolicyThatTravelsSharesNothing(t *testing.T) {
	t.Parallel()
	r := &Retry{Attempts: 2}
	r.Wire().On[0] = streams.Lost
	if got := r.Wire().On[0]; got != streams.Failed {
		t.Errorf("the default is on %s now", got)
	}
}

func TestBackoffIsANumberOrAWord(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Backoff{"1": 1, "2.5": 2.5, `"constant"`: 1, `"exponential"`: 2} {
		var got Backoff
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{`"linear"`, `"2"`, `[]`, `true`} {
		var got Backoff
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s is taken as %v", text, got)
		}
	}
	data, err := json.Marshal(Retry{Attempts: 2, Backoff: 2})
	if err != nil || string(data) != `{"attempts":2,"backoff":2}` {
		t.Errorf("%s, %v", data, err)
	}
}
