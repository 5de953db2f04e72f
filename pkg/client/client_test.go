package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts an API that is only this function, and gives a client of it.
func serve(t *testing.T, handle http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return connect(t, client.Config{URL: s.URL, Token: "secret", Patience: 5 * time.Second, FollowPatience: 10 * time.Second})
}

func connect(t *testing.T, c client.Config) *client.Client {
	t.Helper()
	out, err := client.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	return out
}

func reply(w http.ResponseWriter, status int, media, body string) {
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

func replyJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func TestTheAddressMustBeOne(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "://"} {
		if _, err := client.New(client.Config{URL: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAProblemArrivesWithItsCodeAndFields(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get(api.HeaderIdempotencyKey) != "k" {
			t.Errorf("headers: %v", r.Header)
		}
		reply(w, http.StatusBadRequest, "application/problem+json; charset=utf-8",
			`{"title":"Bad Request","status":400,"code":"invalid_parameters","detail":"two are wrong","errors":[{"field":"parameters.n","message":"want a number"}]}`)
	})
	_, err := c.Run(t.Context(), api.ExecutionRequest{Action: "core.echo"}, "k")
	var p *client.Problem
	if !errors.As(err, &p) || p.Code != api.CodeInvalidParameters || client.Code(err) != api.CodeInvalidParameters {
		t.Fatalf("got %v", err)
	}
	want := []api.FieldError{{Field: "parameters.n", Message: "want a number"}}
	if diff := cmp.Diff(want, p.Errors); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNoAPISaysSo(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"a proxy's page":      func(w http.ResponseWriter, _ *http.Request) { reply(w, 502, "text/html", "<html>Bad gateway") },
		"a page that is fine": func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, "text/html", "<html>Welcome") },
		"another JSON error":  func(w http.ResponseWriter, _ *http.Request) { reply(w, 404, "application/json", `{"error":"x"}`) },
		"somewhere else": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
	}
	for name, handle := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := serve(t, handle).Pack(t.Context(), "core")
			if !errors.Is(err, client.ErrBadAnswer) || client.Code(err) != "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPagesAreReadUntilThereIsEnough(t *testing.T) {
	t.Parallel()
	pages := map[string]api.Page[api.Action]{
		"":  {Items: []api.Action{{Ref: "a.1"}, {Ref: "a.2"}}, NextCursor: "x"},
		"x": {Items: []api.Action{{Ref: "a.3"}, {Ref: "a.4"}}, NextCursor: "y"},
		"y": {Items: []api.Action{{Ref: "a.5"}}},
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("pack") != "a" || r.URL.Query().Get("limit") == "" {
			t.Errorf("query: %s", r.URL.RawQuery)
		}
		replyJSON(w, pages[r.URL.Query().Get("cursor")])
	})
	for limit, want := range map[int]struct {
		n    int
		more bool
	}{0: {5, false}, 3: {3, true}, 4: {4, true}, 5: {5, false}, 9: {5, false}} {
		got, more, err := c.Actions(t.Context(), "a", limit)
		if err != nil || len(got) != want.n || more != want.more {
			t.Errorf("limit %d: %d actions, more %v, %v", limit, len(got), more, err)
		}
	}
}

func TestNumbersStayExact(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, "application/json", `{"ref":"a.b","parameters":{"n":12345678901234567890}}`)
	})
	r, err := c.Rule(t.Context(), "a.b")
	if err != nil || fmt.Sprint(r.Parameters["n"]) != "12345678901234567890" {
		t.Errorf("got %v, %v", r.Parameters, err)
	}
}

// TestAnAPIThatIsNotUpYetIsWaitedFor takes the port only after the first attempt was refused.
func TestAnAPIThatIsNotUpYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c := connect(t, client.Config{URL: "http://" + addr, Patience: 20 * time.Second})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { replyJSON(w, api.Pack{Name: "core"}) })}
	stop := time.AfterFunc(200*time.Millisecond, func() {
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = s.Serve(l)
		}
	})
	t.Cleanup(func() { stop.Stop(); s.Close() })
	if p, err := c.Pack(t.Context(), "core"); err != nil || p.Name != "core" {
		t.Errorf("got %v, %v", p, err)
	}
}

func TestAnAPIThatStaysAwayIsGivenUp(t *testing.T) {
	t.Parallel()
	c := connect(t, client.Config{URL: "http://127.0.0.1:1", Patience: 300 * time.Millisecond})
	if _, err := c.Pack(t.Context(), "core"); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("request: %v", err)
	}
	if _, err := c.Logs(t.Context(), client.Log{Execution: "x", Stream: "stdout", Follow: true}, io.Discard); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("logs: %v", err)
	}
	if err := c.Tail(t.Context(), nil, nil); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("stream: %v", err)
	}
}

func TestOnlyWhatMayBeRepeatedIsRepeated(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		cutOff(t, w)
	})
	_, err := c.Publish(t.Context(), api.EventRequest{Trigger: "a.b"})
	if !errors.Is(err, client.ErrUnreachable) || requests.Load() != 1 {
		t.Errorf("an event without an id was sent %d times: %v", requests.Load(), err)
	}
	_, err = c.Publish(t.Context(), api.EventRequest{Trigger: "a.b", ID: "0199f3a0-7d1c-7000-8000-000000000001"})
	if !errors.Is(err, client.ErrUnreachable) || requests.Load() < 3 {
		t.Errorf("an event with an id was sent %d times: %v", requests.Load()-1, err)
	}
}

// cutOff breaks the connection, after what was written so far.
func cutOff(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	_ = http.NewResponseController(w).Flush() // without anything written there is nothing to flush
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	conn.Close()
}

func TestALogIsResumedWhereItBroke(t *testing.T) {
	t.Parallel()
	const whole = "one\ntwo\nthree\nfour\n"
	var requests atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		start := len("one\n")
		if n := requests.Add(1); n == 1 && (q.Get("tail") != "3" || q.Get("follow") != "true" || q.Get("offset") != "") {
			t.Errorf("first request: %s", r.URL)
		} else if n > 1 {
			if _, err := fmt.Sscan(q.Get("offset"), &start); err != nil || q.Has("tail") {
				t.Errorf("request %d: %s: %v", n, r.URL, err)
			}
		}
		w.Header().Set(api.HeaderOffset, fmt.Sprint(start))
		end := min(start+5, len(whole))
		_, _ = io.WriteString(w, whole[start:end])
		if end < len(whole) {
			cutOff(t, w)
		}
	})
	var out bytes.Buffer
	offset, err := c.Logs(t.Context(), client.Log{Execution: "x", Stream: "stdout", Tail: 3, Follow: true}, &out)
	if err != nil || out.String() != "two\nthree\nfour\n" || offset != int64(len(whole)) {
		t.Errorf("got %q up to %d: %v", out.String(), offset, err)
	}
}

func TestAWriterThatFailsEndsTheFollowing(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "text") })
	r, w := io.Pipe()
	r.Close()
	if _, err := c.Logs(t.Context(), client.Log{Execution: "x", Stream: "stdout"}, w); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

// feed answers with server-sent events, and then breaks the connection.
func feed(t *testing.T, w http.ResponseWriter, text string) {
	t.Helper()
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, text)
	cutOff(t, w)
}

func TestAStreamIsResumedBehindTheLastEvent(t *testing.T) {
	t.Parallel()
	answers := map[string]string{ // by Last-Event-ID
		"":  "id: 3\n\n", // where the stream stands, before anything happened
		"3": ": a comment\nretry: 1\nid: 4\nevent: event\ndata: {\"id\":\"a\"}\n\nid: 7\nevent: event\ndata: {\"id\":\ndata: \"b\"}\n\nid: 9\nevent: event\ndata: {\"id\":\"cut o",
		"7": "id: 8\nevent: other\ndata: ?\n\nid: 9\r\nevent: event\r\ndata: {\"id\":\"c\"}\r\n\r\n",
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answer, known := answers[r.Header.Get("Last-Event-Id")]
		if !known || r.URL.Query().Get("trigger") != "a.b" {
			t.Errorf("resumed at %q: %s", r.Header.Get("Last-Event-Id"), r.URL)
		}
		feed(t, w, answer)
	})
	var got []string
	err := c.Tail(t.Context(), client.Filter{"trigger": "a.b"}, func(e api.Event) error {
		if got = append(got, e.ID); e.ID == "c" {
			return client.ErrStop
		}
		return nil
	})
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestAStreamEndsWithTheErrorOfItsReader(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { feed(t, w, "event: event\ndata: {}\n\n") })
	if err := c.Tail(t.Context(), nil, func(api.Event) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
}

func TestAGapIsSaid(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		feed(t, w, "event: gap\ndata: {\"from\":1,\"to\":5}\n\n")
	})
	if err := c.Tail(t.Context(), nil, func(api.Event) error { return nil }); !errors.Is(err, client.ErrGap) {
		t.Errorf("got %v", err)
	}
}

func TestAStreamThatIsRefusedIsNotRepeated(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"unauthorized": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, 401, "application/problem+json", `{"code":"unauthorized","detail":"no"}`)
		},
		"": func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, "text/html", "<html>") },
	}
	for code, handle := range answers {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			if err := serve(t, handle).Tail(t.Context(), nil, nil); err == nil || client.Code(err) != code {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: event\ndata: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	err := c.Tail(ctx, nil, func(api.Event) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestWaiting has an execution end before, while and after the stream is opened.
func TestWaiting(t *testing.T) {
	t.Parallel()
	change := func(status streams.Status) string {
		return fmt.Sprintf("id: 1\nevent: execution\ndata: {\"id\":\"x\",\"status\":%q,\"attempt\":1}\n\n", status)
	}
	cases := map[string]struct {
		stream  string
		looked  streams.Status
		changes []streams.Status
	}{
		"ended before":       {"", streams.Failed, []streams.Status{streams.Failed}},
		"ends while waiting": {change(streams.Running) + change(streams.Succeeded), streams.Requested, []streams.Status{streams.Requested, streams.Running, streams.Succeeded}},
		"seen twice":         {change(streams.Running) + change(streams.Lost), streams.Running, []streams.Status{streams.Running, streams.Lost}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/stream") {
					feed(t, w, tc.stream)
					return
				}
				replyJSON(w, api.Execution{ID: "x", Status: tc.looked, Attempt: 1, Parameters: json.RawMessage(`{"n":1}`)})
			})
			var changes []streams.Status
			x, err := c.Wait(t.Context(), "x", func(x api.Execution) error { changes = append(changes, x.Status); return nil })
			if err != nil || x.Status != changes[len(changes)-1] || string(x.Parameters) != `{"n":1}` {
				t.Errorf("got %+v, %v", x, err)
			}
			if diff := cmp.Diff(tc.changes, changes); diff != "" {
				t.Error(diff)
			}
		})
	}
}
