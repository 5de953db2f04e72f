package runner_test

import (
	"encoding/json"
	"testing"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

// post puts a placement where runners see it, and gives its token.
func (d *desk) post(p streams.Placement) string {
	d.t.Helper()
	p.Version, p.Pool = streams.Version, streams.DefaultPool
	kv, err := d.bus.JS.KeyValue(d.t.Context(), streams.BucketPlacements)
	if err != nil {
		d.t.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		d.t.Fatal(err)
	}
	token := placement.Token(p)
	if _, err := kv.Put(d.t.Context(), token, data); err != nil {
		d.t.Fatal(err)
	}
	return token
}

func labeled(name, zone string, slots int) func(*runner.Config) {
	return func(c *runner.Config) { c.Name, c.Labels, c.Slots = name, streams.Labels{"zone": zone}, slots }
}

func TestExecutionsRunWhereTheirPlacementFits(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{"a": "exit 0"}))
	before := d.post(streams.Placement{Labels: streams.Labels{"zone": "us"}})
	eu, us := d.start(labeled("eu", "eu", 2)), d.start(labeled("us", "us", 2))
	after := d.post(streams.Placement{Runtimes: map[string]string{"shell": ""}, Labels: streams.Labels{"zone": "eu"}})
	nobody := d.requestIn(d.post(streams.Placement{Runtimes: map[string]string{"shell": ">=1000"}}), "a")
	for range 10 {
		if f := d.ended(d.requestIn(before, "a")); f.Runner != us.Name() {
			t.Errorf("for us: ran on %s", f.Runner)
		}
		if f := d.ended(d.requestIn(after, "a")); f.Runner != eu.Name() {
			t.Errorf("for eu: ran on %s", f.Runner)
		}
	}
	if st, err := d.facts.Find(t.Context(), nobody); err != nil || st.Status != streams.Requested {
		t.Errorf("what nobody can run: %+v, %v", st, err)
	}
}

func TestPlacementsShareTheSlots(t *testing.T) {
	t.Parallel()
	gate := folder(t) + "/gate"
	d := newDesk(t, scripts(map[string]string{"wait": "while [ ! -e " + gate + " ]; do sleep 0.05; done", "a": "exit 0"}))
	token := d.post(streams.Placement{Labels: streams.Labels{"zone": "eu"}})
	d.start(labeled("eu", "eu", 2))
	var waiting, others []string
	for range 2 {
		waiting = append(waiting, d.requestIn(token, "wait"))
	}
	for _, id := range waiting {
		d.running(id)
	}
	for range 3 {
		others = append(others, d.request("a", `{}`), d.requestIn(token, "a"))
	}
	second := d.start(labeled("other", "us", 1)) // it takes what the pool has, and none of the placement
	for i, id := range others {
		if i%2 == 0 {
			if f := d.ended(id); f.Runner != second.Name() {
				t.Errorf("ran on %s, whose slots were taken", f.Runner)
			}
			continue
		}
		if st, err := d.facts.Find(t.Context(), id); err != nil || st.Status != streams.Requested {
			t.Errorf("of the placement, all slots taken: %+v, %v", st.Fact, err)
		}
	}
	write(t, gate, "", 0o600)
	for _, id := range append(waiting, others...) {
		if f := d.ended(id); f.Status != streams.Succeeded {
			t.Errorf("%+v", f)
		}
	}
}

// requestIn requests an execution and dispatches it under a placement's token.
func (d *desk) requestIn(token, action string) string {
	d.t.Helper()
	id := execution.NewID()
	_, err := d.facts.Request(d.t.Context(), execution.Request{
		ID: id, Action: "p." + action, PackDigest: d.digest, Parameters: json.RawMessage(`{}`), Pool: token, By: "api",
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.dispatchIn(token, id, action, 1)
	return id
}
