package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/attune/cli"
	"github.com/attune/attune/streams"
)

// recordingAPI answers with the answers to each path, one after the other and the last one for ever, and keeps
// what was asked.
type recordingAPI struct {
	mu      sync.Mutex // guards the fields below
	answers map[string][]any
	asked   []string
}

func (a *recordingAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var body json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&body) // without a body there is none
	a.asked = append(a.asked, strings.TrimSpace(r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v1")+" "+string(body)))
	left := a.answers[r.URL.Path]
	if len(left) == 0 {
		http.NotFound(w, r)
		return
	}
	if len(left) > 1 {
		a.answers[r.URL.Path] = left[1:]
	}
	if p, ok := left[0].(api.Problem); ok {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
	}
	_ = json.NewEncoder(w).Encode(left[0])
}

// runWith runs the program against an API with these answers and gives what was asked of it.
func runWith(t *testing.T, answers map[string][]any, args ...string) (stdout, stderr string, code int, asked []string) {
	t.Helper()
	a := &recordingAPI{answers: answers}
	s := httptest.NewServer(a)
	defer s.Close()
	stdout, stderr, code = run(t, append([]string{"--api-url", s.URL}, args...)...)
	return stdout, stderr, code, a.asked
}

func TestControlsOfQueuesAskForWhatIsMeant(t *testing.T) {
	t.Parallel()
	stats := []any{api.QueueStats{Action: "core.echo", Running: 1, Waiting: 2, Paused: true}}
	answers := map[string][]any{}
	for _, scope := range []string{"core.echo", "core", "_all"} {
		for _, verb := range []string{"pause", "resume", "drain", "limit"} {
			answers["/api/v1/queues/"+scope+"/"+verb] = stats
		}
	}
	cases := map[string]struct{ asked, said string }{
		"pause core.echo":                {"POST /queues/core.echo/pause {}", "queue core.echo is paused: 1 running, 2 waiting\n"},
		"pause core --for 90m":           {`POST /queues/core/pause {"for":"1h30m0s"}`, "every queue of pack core is paused: 1 running, 2 waiting\n"},
		"pause --all --for 1d":           {`POST /queues/_all/pause {"for":"24h0m0s"}`, "every queue is paused: 1 running, 2 waiting\n"},
		"resume --all":                   {"POST /queues/_all/resume", "every queue is paused: 1 running, 2 waiting\n"},
		"drain core":                     {"POST /queues/core/drain", "every queue of pack core is paused: 1 running, 2 waiting\n"},
		"limit core.echo 5":              {`POST /queues/core.echo/limit {"limit":5}`, "queue core.echo is paused: 1 running, 2 waiting\n"},
		"limit --all 7":                  {`POST /queues/_all/limit {"limit":7}`, "every queue is paused: 1 running, 2 waiting\n"},
		"limit core.echo --declared":     {`POST /queues/core.echo/limit {"limit":null}`, "queue core.echo is paused: 1 running, 2 waiting\n"},
		"limit --all --declared -o yaml": {`POST /queues/_all/limit {"limit":null}`, "action: core.echo\n"},
	}
	for line, want := range cases {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code, asked := runWith(t, answers, append([]string{"queue"}, strings.Fields(line)...)...)
			if diff := cmp.Diff([]string{want.asked}, asked); diff != "" || code != 0 || !strings.HasPrefix(stdout, want.said) {
				t.Errorf("status %d, stdout %q, stderr %q\n%s", code, stdout, stderr, diff)
			}
		})
	}
}

func TestADrainIsWaitedFor(t *testing.T) {
	t.Parallel()
	stdout, stderr, code, asked := runWith(t, map[string][]any{
		"/api/v1/queues/core.echo/drain": {api.QueueStats{Action: "core.echo", Running: 1, Waiting: 1, Draining: true, Paused: true}},
		"/api/v1/actions/core.echo/queue-stats": {
			api.QueueStats{Delayed: 1, Draining: true}, api.Problem{Status: 503, Code: api.CodeSchedulerDown}, api.QueueStats{Draining: true},
		},
	}, "queue", "drain", "core.echo", "--wait")
	if code != 0 || stdout != "queue core.echo is draining: 0 running, 0 waiting\n" || !strings.Contains(stderr, "what waits does not start before the pause ends") {
		t.Errorf("status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if len(asked) != 4 {
		t.Errorf("it asked %v", asked)
	}
}

func TestAnInstallationIsWatchedToItsEnd(t *testing.T) {
	t.Parallel()
	status := func(state string, is streams.InstallStatus) api.PackStatus {
		return api.PackStatus{
			Name: "github", State: state, Versions: []api.PackVersion{{Version: "2", Digest: "d", State: state, Error: "broken"}},
			Runners: []api.PackRunner{{Installs: true, Environment: streams.Environment{Runner: "web1", Digest: "d", Status: is}}},
		}
	}
	watch := func(format string, end api.PackStatus) (stdout, stderr string, code int) {
		stdout, stderr, code, _ = runWith(t, map[string][]any{"/api/v1/packs/github/status": {
			status(api.PackBuilding, streams.Installing), api.Problem{Status: 503, Code: api.CodeBusDown}, end,
		}}, "pack", "status", "github", "--watch", "-o", format)
		return stdout, stderr, code
	}
	stdout, stderr, code := watch("table", status(api.PackActive, streams.Installed))
	if code != 0 || stdout != "github 2  building\nweb1  waits\ngithub 2  active\nweb1  installed\n" || !strings.Contains(stderr, "bus_unavailable") {
		t.Errorf("status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	stdout, stderr, code = watch("jsonl", status(api.PackFailed, streams.InstallError))
	if code != cli.ExitFailed || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, `"state":"failed"`) || !strings.Contains(stderr, "pack github 2 is not in service: broken") {
		t.Errorf("status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestWhatFitsIsCountedBeforeItIsCanceled(t *testing.T) {
	t.Parallel()
	const path = "/api/v1/executions/cancel"
	answers := func() map[string][]any {
		return map[string][]any{path: {
			api.CancelResult{Matched: 700, Remaining: 700},
			api.CancelResult{Matched: 700, Canceled: 500, Remaining: 200, NextCursor: "c"},
			api.CancelResult{Matched: 200, Canceled: 198},
		}}
	}
	filter := `"action":"core.echo","statuses":["requested"],"older_than":"48h0m0s"`
	flags := strings.Fields("execution cancel --action core.echo --status requested --older-than 2d")
	counted := fmt.Sprintf(`POST /executions/cancel {%s,"dry_run":true}`, filter)

	stdout, stderr, code, asked := runWith(t, answers(), flags...)
	if code != cli.ExitUsage || stdout != "" || !strings.Contains(stderr, "cancel 700 executions that wait of action core.echo requested more than 2d ago?") || !strings.Contains(stderr, "--yes") {
		t.Errorf("without a terminal: status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if diff := cmp.Diff([]string{counted}, asked); diff != "" {
		t.Error(diff)
	}
	stdout, _, code, asked = runWith(t, answers(), append(flags, "--dry-run")...)
	if code != 0 || stdout != "700 executions would be canceled: those that wait of action core.echo requested more than 2d ago\n" || len(asked) != 1 {
		t.Errorf("--dry-run: status %d, stdout %q, asked %v", code, stdout, asked)
	}
	stdout, stderr, code, asked = runWith(t, answers(), append(flags, "--yes")...)
	if code != 0 || stdout != "698 executions canceled; 2 had ended before\n" {
		t.Errorf("--yes: status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	want := []string{counted, fmt.Sprintf("POST /executions/cancel {%s}", filter), fmt.Sprintf(`POST /executions/cancel {%s,"cursor":"c"}`, filter)}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
	stdout, _, code, _ = runWith(t, map[string][]any{path: {api.CancelResult{}}}, "execution", "cancel", "--all")
	if code != 0 || stdout != "there are no executions that wait or run\n" {
		t.Errorf("none: status %d, stdout %q", code, stdout)
	}
}

func TestARefusalSaysHowTheQueueStands(t *testing.T) {
	t.Parallel()
	refusal := api.Problem{
		Status: 409, Code: api.CodeQueueDraining, Detail: "queue core.echo takes nothing new", Execution: "x-1",
		Queue: &api.QueueStats{Action: "core.echo", Running: 2, Draining: true},
	}
	_, stderr, code, asked := runWith(t, map[string][]any{"/api/v1/executions": {refusal}}, "run", "core.echo", "--priority", "high")
	for _, want := range []string{
		"attune: queue core.echo takes nothing new (queue_draining)\n", "queue core.echo is draining: 2 running, 0 waiting", "attune queue resume core.echo",
		"attune execution show x-1",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in %q", want, stderr)
		}
	}
	if code != cli.ExitFailed || len(asked) != 1 || !strings.Contains(asked[0], `"priority":"high"`) {
		t.Errorf("status %d, asked %v", code, asked)
	}
}
