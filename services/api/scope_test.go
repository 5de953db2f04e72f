package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/streams"
)

func TestListsHoldOnlyWhatMayBeSeen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.populate()
	for _, ref := range []string{"demo.slow", "other.slow", "demo.echo", "other.echo", "demo.deploy"} {
		want[wire.QueueStats](f.post("/api/v1/queues/"+ref+"/pause", nil), http.StatusOK)
	}
	header := f.as("op", "operator", within("demo"))
	for _, list := range []string{"actions", "triggers", "rules", "sensors", "packs", "executions", "events", "queues"} {
		for _, limit := range []string{"100", "1"} { // pages of one show what cursors skip
			all, cursor := "", ""
			for {
				a := f.send(http.MethodGet, "/api/v1/"+list+"?limit="+limit+"&cursor="+cursor, nil, header...)
				page := want[wire.Page[json.RawMessage]](a, http.StatusOK)
				all += string(a.body)
				if cursor = page.NextCursor; cursor == "" {
					break
				}
			}
			if strings.Contains(all, `"other`) || strings.Contains(all, `"ties`) || !strings.Contains(all, `"demo`) {
				t.Errorf("%s in pages of %s: %s", list, limit, all)
			}
		}
		for _, query := range []string{"?pack=other", "?trigger=other.note", "?action=other.echo"} {
			if a := f.send(http.MethodGet, "/api/v1/"+list+query, nil, header...); strings.Contains(string(a.body), `"other.`) {
				t.Errorf("%s%s: %s", list, query, a.body)
			}
		}
	}
	if all := want[wire.Page[wire.Secret]](f.send(http.MethodGet, "/api/v1/secrets", nil, header...), http.StatusOK).Items; len(all) != 0 {
		t.Errorf("global secrets: %+v", all)
	}
}

func TestStreamsHoldOnlyWhatMayBeSeen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.populate()
	header := f.as("op", "operator", within("demo"))
	events, executions := f.open(f.base, "/api/v1/events/stream", header), f.open(f.base, "/api/v1/executions/stream", header)
	narrow := f.open(f.base, "/api/v1/events/stream?trigger=other.note", header)
	for _, p := range []string{"other", "demo"} {
		f.publish(`{"trigger":"` + p + `.note","payload":{"host":"web1"}}`)
		want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"`+p+`.echo","parameters":{"message":"hi"}}`), http.StatusAccepted)
	}
	for _, s := range []struct {
		name string
		from interface{ Read([]byte) (int, error) }
	}{{"events", events}, {"executions", executions}} {
		if first := firstData(t, s.from.(*bufio.Reader)); !strings.Contains(first, `"demo.`) || strings.Contains(first, "other.") {
			t.Errorf("first of %s: %s", s.name, first)
		}
	}
	f.call(http.MethodDelete, "/api/v1/tokens/op", nil) // ends the stream, which had nothing to say
	for {
		line, err := narrow.(*bufio.Reader).ReadString('\n')
		if strings.Contains(line, "other.") {
			t.Errorf("another pack's events: %s", line)
		}
		if err != nil {
			break
		}
	}
}

func firstData(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("stream: %v", err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return data
		}
	}
}

// An event of one's own pack may have been decided by rules of others, which run their actions.
func TestDecisionsOfOthersAreLeftOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := demo()
	other.Name = "other"
	f.define(other)
	f.define(pack.Pack{Name: "ties", Version: "1.0.0", Rules: []pack.Rule{
		{Name: "out", Trigger: "demo.note", Action: "other.echo", Parameters: map[string]any{"message": "x"}},
	}})
	f.withRules()
	id := f.publish(`{"trigger":"demo.note","payload":{"host":"web1"}}`)
	see := func(header []string) wire.Event {
		return want[wire.Event](f.send(http.MethodGet, "/api/v1/events/"+id, nil, header...), http.StatusOK)
	}
	root := []string{"Authorization", "Bearer " + token}
	f.eventually("it is decided by all three", func() bool { return see(root).Status == streams.EventDecided && len(see(root).Decisions) == 3 })
	if own := see(f.as("demo", "viewer", within("demo"))).Decisions; len(own) != 2 || own[0].Rule != "demo.on-note" || own[0].Execution == "" || own[1].Rule != "demo.resting" {
		t.Errorf("of demo: %+v", own)
	}
	rules := see(f.as("rules", "", granted("view events in pack demo", "view rules"))).Decisions
	if len(rules) != 3 || rules[0].Execution != "" || rules[2].Rule != "ties.out" || rules[2].Execution != "" {
		t.Errorf("of who may not see executions: %+v", rules)
	}
}

func TestCancelingAllReachesOnlyWhatMayBeSteered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	objects := f.populate()
	header := f.as("op", "operator", within("demo"))
	done := want[wire.CancelResult](f.send(http.MethodPost, "/api/v1/executions/cancel", `{"all":true}`, header...), http.StatusOK)
	if done.Matched != 1 || done.Canceled != 1 {
		t.Errorf("%+v", done)
	}
	for i, status := range []streams.Status{streams.Canceled, streams.Requested} {
		if x := want[wire.Execution](f.get("/api/v1/executions/"+objects[i].waiting), http.StatusOK); x.Status != status {
			t.Errorf("of %s: %s", objects[i].pack, x.Status)
		}
	}
}

func TestRunningTakesTheRightOnEverySecretThatIsDeclared(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(pack.Pack{Name: "needy", Version: "1.0.0", Actions: []pack.Action{
		{Name: "one", Runtime: "shell", EntryPoint: "x.sh", Secrets: []string{"MINE"}},
		{Name: "both", Runtime: "shell", EntryPoint: "x.sh", Secrets: []string{"MINE", "SHARED"}},
	}})
	if _, err := f.secrets.Put(t.Context(), secret.OfPack("needy"), "MINE", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/packs/needy").status == http.StatusOK })
	for name, c := range map[string]struct {
		header    []string
		one, both int
	}{
		"operator":        {f.as("a", "operator"), 202, 202},
		"operator-within": {f.as("b", "operator", within("needy")), 202, 403},
		"with-global":     {f.as("c", "operator", within("needy"), granted("use secrets in global")), 202, 202},
		"only-run":        {f.as("d", "", granted("run actions in pack needy")), 403, 403},
		"run-and-use":     {f.as("e", "", granted("run actions in pack needy", "use secrets in pack needy")), 202, 403},
		"another-pack":    {f.as("g", "operator", within("demo")), 404, 404},
	} {
		for action, status := range map[string]int{"one": c.one, "both": c.both} {
			if a := f.send(http.MethodPost, "/api/v1/executions", `{"action":"needy.`+action+`"}`, c.header...); a.status != status {
				t.Errorf("%s runs %s: %d, want %d: %s", name, action, a.status, status, a.body)
			}
		}
	}
}

// Who brings a pack may not do through its rules, sensors and webhooks what he may not do himself.
func TestAPackGivesNobodyMoreThanHeMay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(func() pack.Pack { p := demo(); p.Name = "prod"; return p }())
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/packs/prod").status == http.StatusOK })
	rule := func(trigger, action string) files {
		return hello("1.0.0").with("rules/more.yaml", "trigger: "+trigger+"\naction: "+action+"\nparameters: {message: x}\n")
	}
	secretive := hello("1.0.0").with("actions/greet.yaml", "description: greets\nruntime: shell\nentry_point: greet.sh\nsecrets: [DB_PASSWORD]\n")
	editor := f.as("ed", "editor", within("hello"))
	for name, archive := range map[string]files{
		"runs another's action": rule("hello.met", "prod.echo"), "hears another's events": rule("prod.note", "hello.greet"), "has a secret": secretive,
	} {
		a := f.send(http.MethodPost, "/api/v1/packs?wait=0s", archive.archive(t), editor...)
		a.refused(http.StatusForbidden, wire.CodeForbidden)
		_ = name
	}
	if a := f.get("/api/v1/packs/hello"); a.status != http.StatusNotFound {
		t.Errorf("something was installed: %s", a.body)
	}
	plain := f.send(http.MethodPost, "/api/v1/packs?wait=0s&switch=now", hello("1.0.0").archive(t), editor...)
	if plain.status != http.StatusOK && plain.status != http.StatusAccepted {
		t.Errorf("its own: %d %s", plain.status, plain.body)
	}
	all := f.send(http.MethodPost, "/api/v1/packs?wait=0s&switch=now", secretive.archive(t), f.as("all", "editor")...)
	if all.status != http.StatusOK && all.status != http.StatusAccepted {
		t.Errorf("by who may: %d %s", all.status, all.body)
	}
}

func TestWhatIsInTheWayIsNamedOnlyToWhoMaySeeIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	off := false
	f.define(pack.Pack{Name: "ties", Version: "1.0.0", Rules: []pack.Rule{
		{Name: "hidden", Trigger: "demo.tick", Action: "demo.echo", Parameters: map[string]any{"message": "x"}, Enabled: &off},
	}})
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/rules/ties.hidden").status == http.StatusOK })
	a := f.send(http.MethodDelete, "/api/v1/packs/demo", nil, f.as("ed", "editor", within("demo"))...)
	if a.refused(http.StatusConflict, wire.CodeConflict); strings.Contains(string(a.body), "hidden") {
		t.Errorf("who may not see the rule is told of it: %s", a.body)
	}
	if a := f.call(http.MethodDelete, "/api/v1/packs/demo", nil); !strings.Contains(string(a.body), "ties.hidden") {
		t.Errorf("who may see the rule is not told of it: %s", a.body)
	}
	forced := f.send(http.MethodDelete, "/api/v1/packs/demo?force=true", nil, f.as("force", "editor", within("demo"))...)
	forced.refused(http.StatusForbidden, wire.CodeForbidden)
	want[wire.Rule](f.get("/api/v1/rules/ties.hidden"), http.StatusOK)
}
