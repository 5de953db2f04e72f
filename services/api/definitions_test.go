package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

func TestDefinitionsAreListedAndShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(packWithStrictHook())
	f.eventually("both packs are known", func() bool {
		return len(want[wire.Page[wire.Pack]](f.get("/api/v1/packs"), http.StatusOK).Items) == 2
	})
	page := want[wire.Page[wire.Action]](f.get("/api/v1/actions?limit=2"), http.StatusOK)
	if len(page.Items) != 2 || page.Items[0].Ref != "demo.deploy" || page.NextCursor == "" {
		t.Fatalf("first page %+v", page)
	}
	rest := want[wire.Page[wire.Action]](f.get("/api/v1/actions?limit=2&cursor="+page.NextCursor), http.StatusOK)
	if len(rest.Items) != 1 || rest.Items[0].Ref != "demo.slow" || rest.NextCursor != "" {
		t.Errorf("second page %+v", rest)
	}
	a := want[wire.Action](f.get("/api/v1/actions/demo.deploy"), http.StatusOK)
	if a.Concurrency.Limit != 1 || a.Concurrency.Key != "params.repo" || a.Timeout != "10m0s" || a.Pool != "default" || a.PackDigest != digestOf(demo()) ||
		a.QueueTimeout != "" || a.Rate != "" || a.Retry != nil {
		t.Errorf("action %+v", a)
	}
	for path, n := range map[string]int{
		"actions?pack=strict": 0, "triggers?pack=strict": 1, "triggers": 12, "sensors": 1, "rules": 2, "rules?trigger=demo.note": 2, "rules?trigger=demo.open": 0,
		"rules?pack=demo": 2, "packs": 2,
	} {
		if got := len(want[wire.Page[json.RawMessage]](f.get("/api/v1/"+path), http.StatusOK).Items); got != n {
			t.Errorf("%s gives %d, want %d", path, got, n)
		}
	}
	g := want[wire.Trigger](f.get("/api/v1/triggers/demo.github"), http.StatusOK)
	if g.Webhook == nil || g.Webhook.Path != "/api/v1/webhooks/demo/github" || g.Webhook.Scheme != "github" {
		t.Errorf("trigger %+v", g)
	}
	if g := want[wire.Trigger](f.get("/api/v1/triggers/demo.tick"), http.StatusOK); g.Timer == nil || g.Timer.Every != "1h0m0s" {
		t.Errorf("trigger %+v", g)
	}
	if x := want[wire.Sensor](f.get("/api/v1/sensors/demo.watch"), http.StatusOK); x.EntryPoint != "watch.sh" || len(x.Triggers) != 1 {
		t.Errorf("sensor %+v", x)
	}
	for _, path := range []string{"actions/demo.x", "triggers/demo.x", "sensors/demo.x", "rules/demo.x", "packs/x", "actions/x", "rules/..", "runners/x"} {
		f.get("/api/v1/"+path).refused(http.StatusNotFound, wire.CodeNotFound)
	}
}

func TestARuleIsSwitchedOffAndOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := want[wire.Rule](f.get("/api/v1/rules/demo.on-note"), http.StatusOK)
	if !r.Enabled || r.Trigger != "demo.note" || r.Action != "demo.echo" || r.When == "" || r.Parameters["message"] == nil {
		t.Errorf("rule %+v", r)
	}
	for verb, enabled := range map[string]bool{"disable": false, "enable": true} {
		if r := want[wire.Rule](f.post("/api/v1/rules/demo.on-note/"+verb, nil), http.StatusOK); r.Enabled != enabled {
			t.Errorf("after %s: %+v", verb, r)
		}
		if r := want[wire.Rule](f.get("/api/v1/rules/demo.on-note"), http.StatusOK); r.Enabled != enabled {
			t.Errorf("shown after %s: %+v", verb, r)
		}
		f.post("/api/v1/rules/demo.x/"+verb, nil).refused(http.StatusNotFound, wire.CodeNotFound)
		f.post("/api/v1/rules/x/"+verb, nil).refused(http.StatusNotFound, wire.CodeNotFound)
	}
}

func TestRunnersAreThoseWhoseHeartbeatLives(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if got := string(f.get("/api/v1/runners").body); got != "{\"items\":[]}\n" {
		t.Errorf("without any: %q", got)
	}
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketRunners)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(streams.RunnerInfo{Version: 1, Name: "r1", Pool: "default", Slots: 4, Seen: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"r1": string(data), "broken": "{", "newer": `{"v":99}`} {
		if _, err := kv.Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	all := want[wire.Page[wire.Runner]](f.get("/api/v1/runners"), http.StatusOK).Items
	if len(all) != 1 || all[0].Name != "r1" || all[0].Slots != 4 {
		t.Errorf("runners %+v", all)
	}
	if r := want[wire.Runner](f.get("/api/v1/runners/r1"), http.StatusOK); r.Pool != "default" {
		t.Errorf("runner %+v", r)
	}
	if err := kv.Delete(t.Context(), "r1"); err != nil {
		t.Fatal(err)
	}
	f.get("/api/v1/runners/r1").refused(http.StatusNotFound, wire.CodeNotFound)
}
