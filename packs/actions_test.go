package packs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// trial is one execution and what is to come of it.
type trial struct {
	action, parameters string
	status             streams.Status
	code               int
	stdout, stderr     string // exactly; "*" for anything
	result             string // JSON, in which "*" stands for a whole value; "" for none
}

// The shipped actions and the example hello do what they say, as processes of a running system.
func TestActionsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	in := attunetest.Start(t, attunetest.Options{})
	if out := in.Run("pack", "install", filepath.Join("examples", "hello")); out.Code != 0 {
		t.Fatalf("pack install: %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	c, server := in.Client(), startServer(t)
	trial{
		action: "http.request", parameters: `{"url":"` + server + `/tell"}`, status: streams.Failed, code: 1,
		stderr: "GET " + server + "/tell: 127.0.0.1 is a loopback address; the pack's configuration does not allow it " +
			"(attune pack config set http allow:='[\"127.0.0.1\"]')\n",
	}.check(t, c)
	allowLoopback(t, in, c, server)
	for _, tr := range append(small(), requests(server)...) {
		t.Run(tr.action+" "+tr.parameters, func(t *testing.T) { tr.check(t, c) })
	}
	refusals(t, c)
}

// allowLoopback does what the refusal says, and waits until the runner has heard of it.
func allowLoopback(t *testing.T, in *attunetest.Instance, c *client.Client, server string) {
	t.Helper()
	if out := in.Run("pack", "config", "set", "http", `allow:=["127.0.0.1"]`); out.Code != 0 {
		t.Fatalf("pack config set: %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), attunetest.Patience)
	defer cancel()
	for {
		accepted, err := c.Run(ctx, api.ExecutionRequest{Action: "http.request", Parameters: json.RawMessage(`{"url":"` + server + `/tell"}`)}, "")
		if err != nil {
			t.Fatal(err)
		}
		x, err := c.Wait(ctx, accepted.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		if x.Status == streams.Succeeded {
			return
		}
	}
}

func small() []trial {
	odd := `a \"quoted\" \\ \u0001\ttext\n\n`
	return []trial{
		{action: "core.noop", status: streams.Succeeded},
		{action: "core.echo", parameters: `{"message":"hi"}`, status: streams.Succeeded, stdout: "hi\n", result: `{"message":"hi"}`},
		{action: "core.echo", parameters: `{"message":"` + odd + `"}`, status: streams.Succeeded, stdout: "*", result: `{"message":"` + odd + `"}`},
		{action: "core.echo", parameters: `{"message":"$(id) ` + "`id`" + ` 'x' -n"}`, status: streams.Succeeded, stdout: "$(id) `id` 'x' -n\n", result: `{"message":"$(id) ` + "`id`" + ` 'x' -n"}`},
		{action: "core.sleep", parameters: `{"seconds":0.01}`, status: streams.Succeeded},
		{action: "core.fail", status: streams.Failed, code: 1, stderr: "failing as asked\n"},
		{action: "core.fail", parameters: `{"message":"no","exit_code":42}`, status: streams.Failed, code: 42, stderr: "no\n"},
		{action: "core.log", parameters: `{"message":"m"}`, status: streams.Succeeded, stdout: "info: m\n"},
		{action: "core.log", parameters: `{"message":"m","level":"error","data":{"a":[1]}}`, status: streams.Succeeded, stdout: "error: m\n{\"a\":[1]}\n"},
		{action: "shell.run", parameters: `{"command":"echo a; echo b >&2; exit 3"}`, status: streams.Failed, code: 3, stdout: "a\n", stderr: "b\n"},
		{action: "shell.run", parameters: `{"command":"tr a-z A-Z; exit 4","stdin":"some text"}`, status: streams.Failed, code: 4, stdout: "SOME TEXT"},
		{action: "shell.run", parameters: `{"command":"cat; printf '[1]' > \"$ATTUNE_RESULT_FILE\""}`, status: streams.Succeeded, result: `[1]`},
		{action: "hello.shell", parameters: `{"name":"you"}`, status: streams.Succeeded, stdout: "Hello, you!\n"},
		{action: "hello.shell", status: streams.Succeeded, stdout: "Hello, world!\n"},
		{action: "hello.native", parameters: `{"name":"you"}`, status: streams.Succeeded, stdout: "Hello, you!\n"},
		{action: "hello.python", parameters: `{"name":"you"}`, status: streams.Succeeded, stdout: "Hello, you!\n", result: `{"greeted":"you"}`},
		{action: "hello.node", parameters: `{"name":"you"}`, status: streams.Succeeded, stdout: "Hello, you!\n", result: `{"greeted":"you"}`},
	}
}

// startServer answers as its paths say, and tells what it was sent.
func startServer(t *testing.T) string {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(tell))
	t.Cleanup(other.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("/tell", tell)
	mux.Handle("/near", http.RedirectHandler("/tell", http.StatusFound))
	mux.Handle("/far", http.RedirectHandler(other.URL, http.StatusFound))
	mux.Handle("/file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1000)) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func tell(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) //nolint:errcheck // what could be read is told
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{ //nolint:errcheck // the client sees what is missing
		"method": r.Method, "type": r.Header.Get("Content-Type"), "body": string(body), "authorization": r.Header.Get("Authorization"),
	})
}

func requests(server string) []trial {
	answer := func(status int, path, told string) string {
		return fmt.Sprintf(`{"status":%d,"url":%q,"headers":"*","body":"*","json":%s,"truncated":false}`, status, server+path, told)
	}
	return []trial{
		{
			action: "http.request", parameters: `{"url":"` + server + `/near","headers":{"Authorization":"Bearer x"}}`, status: streams.Succeeded,
			stdout: "*", result: answer(200, "/tell", `{"method":"GET","type":"","body":"","authorization":"Bearer x"}`),
		},
		{
			action: "http.request", parameters: `{"url":"` + server + `/tell","method":"PUT","body":{"a":"ü"}}`, status: streams.Succeeded,
			stdout: "*", result: answer(200, "/tell", `{"method":"PUT","type":"application/json","body":"{\"a\": \"\\u00fc\"}","authorization":""}`),
		},
		{
			action: "http.request", parameters: `{"url":"` + server + `/far","headers":{"Authorization":"Bearer x"}}`, status: streams.Succeeded,
			stdout: "*", result: `{"status":200,"url":"*","headers":"*","body":"*","json":{"method":"GET","type":"","body":"","authorization":""},"truncated":false}`,
		},
		{
			action: "http.request", parameters: `{"url":"` + server + `/long","max_bytes":3}`, status: streams.Succeeded,
			stdout: "*", result: `{"status":200,"url":"*","headers":"*","body":"xxx","truncated":true}`,
		},
		{
			action: "http.request", parameters: `{"url":"` + server + `/none"}`, status: streams.Failed, code: 1,
			stdout: "*", stderr: "status 404 was not expected\n", result: `{"status":404,"url":"*","headers":"*","body":"*","truncated":false}`,
		},
		{
			action: "http.request", parameters: `{"url":"` + server + `/none","expect":[404]}`, status: streams.Succeeded,
			stdout: "*", result: `{"status":404,"url":"*","headers":"*","body":"*","truncated":false}`,
		},
		{action: "http.request", parameters: `{"url":"` + server + `/file"}`, status: streams.Failed, code: 1, stdout: "*", stderr: "*", result: "*"},
		{action: "http.request", parameters: `{"url":"http://127.0.0.1:1/"}`, status: streams.Failed, code: 1, stderr: "*"},
	}
}

func (tr trial) check(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), attunetest.Patience)
	defer cancel()
	accepted, err := c.Run(ctx, api.ExecutionRequest{Action: tr.action, Parameters: json.RawMessage(tr.parameters)}, "")
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.Wait(ctx, accepted.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if x.Status != tr.status || x.ExitCode == nil || *x.ExitCode != tr.code {
		t.Errorf("ended as %s with %v, want %s with %d: %v", x.Status, x.ExitCode, tr.status, tr.code, x.Error)
	}
	for stream, want := range map[string]string{"stdout": tr.stdout, "stderr": tr.stderr} {
		var got strings.Builder
		if _, err := c.Logs(ctx, client.Log{Execution: x.ID, Stream: stream}, &got); err != nil {
			t.Fatal(err)
		}
		if want != "*" && got.String() != want {
			t.Errorf("%s is %q, want %q", stream, got.String(), want)
		}
	}
	tr.checkResult(t, x.Result)
}

func (tr trial) checkResult(t *testing.T, got json.RawMessage) {
	t.Helper()
	if tr.result == "*" || tr.result == "" && got == nil {
		return
	}
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Errorf("result %q: %v", got, err)
		return
	}
	if err := json.Unmarshal([]byte(tr.result), &w); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(blank(w, w), blank(g, w)); d != "" {
		t.Error(d)
	}
}

// blank puts "*" for the values of an object for which the wanted one has it.
func blank(got, want any) any {
	g, ok := got.(map[string]any)
	w, both := want.(map[string]any)
	if !ok || !both {
		return got
	}
	for k := range g {
		if w[k] == "*" {
			g[k] = "*"
		}
	}
	return g
}

// refusals requests what no action takes.
func refusals(t *testing.T, c *client.Client) {
	t.Helper()
	for action, parameters := range map[string]string{
		"core.echo": `{}`, "core.sleep": `{"seconds":-1}`, "core.fail": `{"exit_code":0}`, "core.log": `{"message":1}`,
		"shell.run": `{"command":""}`, "http.request": `{"url":"file:///etc/passwd"}`, "hello.python": `{"nam":"x"}`,
	} {
		if x, err := c.Run(t.Context(), api.ExecutionRequest{Action: action, Parameters: json.RawMessage(parameters)}, ""); err == nil {
			t.Errorf("%s takes %s as %s", action, parameters, x.ID)
		}
	}
}

// A rule reacts to the end of an execution, and only to those that it means.
func TestARuleReactsToAFailedDeployment(t *testing.T) {
	t.Parallel()
	g := startGitHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), attunetest.Patience)
	defer cancel()
	parameters := json.RawMessage(`{"repository":"a/b","revision":"0123456789abcdef","seconds":60}`)
	accepted, err := g.api.Run(ctx, api.ExecutionRequest{Action: "github.deploy", Parameters: parameters}, "")
	if err != nil {
		t.Fatal(err)
	}
	attunetest.AwaitFacts(t, g.Bus(), "github.deploy", func(f []streams.Fact) bool { return len(attunetest.Starts(f)) == 1 })
	if _, err := g.api.Cancel(ctx, accepted.ID); err != nil {
		t.Fatal(err)
	}
	reports := attunetest.Ends(attunetest.AwaitFacts(t, g.Bus(), "core.log", attunetest.Ended(1)))
	if r := reports[0]; r.Rule != "github.report-failed-deploy" || r.Status != streams.Succeeded || r.Hops == 0 {
		t.Errorf("report %+v", r)
	}
	g.awaitUnmatched(ctx, t, reports[0].ID)
}

// awaitUnmatched waits for the event of an execution's end that no rule wants.
func (g *github) awaitUnmatched(ctx context.Context, t *testing.T, execution string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		events, _, err := g.api.Events(ctx, client.Filter{"trigger": "core.execution_ended"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if strings.Contains(string(e.Payload), execution) {
				if d := g.decided(t, e.ID).Decisions; len(d) != 1 || d[0].Outcome != streams.NotMatched {
					t.Errorf("the end of the report was decided as %+v", d)
				}
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the end of the report is no event")
		}
	}
}
