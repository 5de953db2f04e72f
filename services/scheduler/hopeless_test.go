package scheduler

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

// put writes an entry of a bucket as JSON.
func (w *world) put(bucket, key string, v any) {
	w.t.Helper()
	kv, err := w.bus.JS.KeyValue(w.t.Context(), bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := kv.Put(w.t.Context(), key, data); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhatNoRunnerCanRunDoesNotHoldItsSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	unfit := streams.Placement{Version: 1, Pool: streams.DefaultPool, Runtimes: map[string]string{"python": ">=3.9"}}
	patient := unfit
	patient.Wait = true
	for _, p := range []streams.Placement{unfit, patient} {
		w.put(streams.BucketPlacements, placement.Token(p), p)
	}
	in := func(p streams.Placement, action string) string {
		return w.requestWith(func(r *execution.Request) { r.Pool, r.Action = placement.Token(p), action })
	}
	waits := in(patient, "core.patient")
	refused := in(unfit, "core.echo")
	next := w.request("core.echo", "", 1)
	s := w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace); s.pace.claim /= 10 })
	w.awaitLeader(s)
	w.run("r1", 4, func(string) {}) // the puppet's heartbeat names no runtimes
	end := w.awaitStatus(refused, streams.Canceled)
	if end.Error == nil || end.Error.Class != streams.ClassNoRunner || !strings.Contains(end.Error.Message, "r1 lacks python >=3.9") {
		t.Errorf("end %+v", end.Error)
	}
	w.awaitStatus(next, streams.Succeeded)
	if st, err := w.facts.Find(t.Context(), waits); err != nil || st.Status != streams.Requested {
		t.Errorf("what may wait: %+v, %v", st.Fact, err)
	}
}
