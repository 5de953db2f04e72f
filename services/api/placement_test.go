package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// beat writes a runner's heartbeat.
func (f *fixture) beat(r streams.RunnerInfo) {
	f.t.Helper()
	kv, err := f.bus.JS.KeyValue(f.t.Context(), streams.BucketRunners)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Version, r.Pool = streams.Version, streams.DefaultPool
	data, err := json.Marshal(r)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := kv.Put(f.t.Context(), r.Name, data); err != nil {
		f.t.Fatal(err)
	}
}

func TestWhatNoRunnerCanRunIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(pack.Pack{Name: "py", Version: "1.0.0", Runtime: map[string]string{"python": ">=3.9"}, Actions: []pack.Action{
		{Name: "run", Runtime: "python", EntryPoint: "run.py"},
		{Name: "wait", Runtime: "python", EntryPoint: "run.py", RunsOn: pack.RunsOn{IfNone: pack.IfNoneWait}},
		{Name: "plain", Runtime: "shell", EntryPoint: "run.sh"},
	}})
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/packs/py").status == http.StatusOK })
	request := func(action, key string) answer {
		return f.post("/api/v1/executions", `{"action":"py.`+action+`"}`, "Idempotency-Key", key)
	}
	first := want[wire.ExecutionAccepted](request("run", "k1"), http.StatusAccepted) // no runner lives: one may be starting
	f.beat(streams.RunnerInfo{Name: "old", Runtimes: []streams.Runtime{{Name: "python", Version: "3.8.20"}}})
	f.eventually("it is refused", func() bool { return request("run", "").status == http.StatusConflict })
	p := request("run", "k2").refused(http.StatusConflict, wire.CodeNoRunner)
	if !strings.Contains(p.Detail, "old lacks python >=3.9 (has 3.8.20)") || !strings.Contains(p.Detail, "py.run") {
		t.Error(p.Detail)
	}
	want[wire.ExecutionAccepted](request("wait", ""), http.StatusAccepted)
	want[wire.ExecutionAccepted](request("plain", ""), http.StatusAccepted)
	if again := want[wire.ExecutionAccepted](request("run", "k1"), http.StatusAccepted); again.ID != first.ID {
		t.Errorf("what was accepted before is %s, then %s", first.ID, again.ID)
	}
	f.beat(streams.RunnerInfo{Name: "new", Runtimes: []streams.Runtime{{Name: "python", Version: "3.12.1"}}})
	f.eventually("it is accepted", func() bool { return request("run", "k2").status == http.StatusAccepted })
}
