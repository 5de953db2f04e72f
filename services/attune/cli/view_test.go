package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-update writes it anew):\n%s", file, diff)
	}
}

var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func at(ago time.Duration) *time.Time { t := now.Add(-ago); return &t }

var sampleExecutions = []api.Execution{
	{
		ID: "0199f3a0-7d1c-7000-8000-000000000001", Action: "core.echo", Status: streams.Succeeded, Attempt: 1, RequestedAt: *at(90 * time.Second),
		StartedAt: at(89 * time.Second), EndedAt: at(88500 * time.Millisecond), RequestedBy: "api", ExitCode: new(0), Runner: "web1", Pool: "default",
		Parameters: json.RawMessage(`{"message":"hi","n":12345678901234567890}`), Result: json.RawMessage(`{"ok":true,"list":[],"none":null}`),
		Output: &streams.Output{StdoutBytes: 3, StderrBytes: 0},
	},
	{
		ID: "0199f3a0-7d1c-7000-8000-000000000002", Action: "github.release-notes", Status: streams.Failed, Attempt: 2, RequestedAt: *at(3 * time.Hour),
		StartedAt: at(3 * time.Hour), EndedAt: at(3*time.Hour - 61*time.Second), RequestedBy: "rule", Rule: "github.draft-release-notes",
		Event: "0199f3a0-7d1c-7000-8000-00000000000a", ExitCode: new(7), Signal: "",
		Error: &streams.Error{Class: streams.ClassExitStatus, Message: "exit status 7\x1b[31m\nsecond line"}, Output: &streams.Output{StdoutBytes: 10, StderrBytes: 99, Truncated: true, Held: true, LogBytes: 60, StoredBytes: 400, Incomplete: true},
		LogBytes: 60, Incomplete: true, RemovedAt: at(time.Minute), RemovedBy: "age 30d",
	},
	{
		ID: "0199f3a0-7d1c-7000-8000-000000000003", Action: "core.sleep", Status: streams.Requested, RequestedAt: *at(49 * time.Hour), Position: new(4), Key: "a|b",
		Priority: streams.PriorityHigh, Queue: &api.QueuePlace{Position: 4, EstimatedStartAt: at(-150 * time.Second), EstimateError: new(0.123)},
	},
	{
		ID: "0199f3a0-7d1c-7000-8000-000000000004", Action: "core.sleep", Status: streams.Requested, Attempt: 3, RequestedAt: *at(time.Minute), NotBefore: at(-40 * time.Second),
		Priority: streams.PriorityNormal, Previous: []streams.Attempt{
			{Attempt: 1, Status: streams.Failed, Runner: "web1", StartedAt: at(50 * time.Second), EndedAt: at(49 * time.Second), ExitCode: new(7), Error: &streams.Error{Class: streams.ClassExitStatus, Message: "exit status 7"}},
			{Attempt: 2, Status: streams.Lost, Runner: "web2", StartedAt: at(30 * time.Second), EndedAt: at(10 * time.Second), Error: &streams.Error{Message: "runner web2 is gone"}},
		},
	},
}

var sampleEvent = api.Event{
	ID: "0199f3a0-7d1c-7000-8000-00000000000a", Trigger: "github.issues", Status: streams.EventDecided, Payload: json.RawMessage(`{"action":"opened"}`),
	Source: "github", Time: *at(time.Minute), ReceivedAt: *at(time.Minute), DecidedAt: at(59 * time.Second), Sequence: 17,
	Decisions: []api.Decision{
		{Rule: "github.label", Outcome: streams.Matched, Execution: "0199f3a0-7d1c-7000-8000-000000000001", Action: "github.label-issue"},
		{Rule: "github.gate", Outcome: streams.NotMatched, Reason: `event.payload.action == "closed" is false: event.payload.action is "opened"`},
		{Rule: "github.page", Outcome: streams.Suppressed, Reason: `once per 10m for "web1": execution 0199f3a0-7d1c-7000-8000-000000000002 of event 0199f3a0-7d1c-7000-8000-00000000000b at 2026-01-31T11:58:00.000Z`},
		{Rule: "github.broken", Outcome: streams.Errored, Reason: "no such key: sender"},
	},
}

var sampleQueue = api.Queue{
	QueueStats: api.QueueStats{
		Action: "core.sleep", Waiting: 2, Running: 1, Delayed: 1, Limit: 1, Rate: "10/m burst 1", Paused: true, PausedUntil: at(-125 * time.Minute), Draining: true,
		AvgWaitSeconds: 1.25, OldestWaitSeconds: 61, EstimatedDrainSeconds: 250.5, EstimateError: new(0.12), BlockedBy: streams.BlockedByPause,
	},
	Entries: []api.QueueEntry{
		{ID: "0199f3a0-7d1c-7000-8000-000000000001", Position: 0, Status: streams.Running, Attempt: 2, Priority: streams.PriorityNormal, RequestedAt: *at(time.Minute)},
		{ID: "0199f3a0-7d1c-7000-8000-000000000005", Position: 0, Status: streams.Requested, Attempt: 1, Priority: streams.PriorityNormal, RequestedAt: *at(time.Minute)},
		{ID: "0199f3a0-7d1c-7000-8000-000000000002", Position: 1, Status: streams.Requested, Attempt: 1, Priority: streams.PriorityHigh, RequestedAt: *at(time.Second), Key: "web"},
		{ID: "0199f3a0-7d1c-7000-8000-000000000003", Position: 2, Status: streams.Requested, Attempt: 1, Priority: streams.PriorityLow, RequestedAt: *at(61 * time.Second), Key: "web\x1b[2J", EstimatedStartAt: at(-90 * time.Second)},
		{ID: "0199f3a0-7d1c-7000-8000-000000000004", Position: 0, Status: streams.Requested, Attempt: 3, Priority: streams.PriorityNormal, RequestedAt: *at(time.Hour), NotBefore: at(-40 * time.Second)},
	},
	NextCursor: "5",
}

var sampleQueues = []api.QueueStats{
	sampleQueue.QueueStats,
	{Action: "deploy.web", Key: strings.Repeat("a long key ", 5), Running: 3},
	{Action: "deploy.db", Running: 2, Waiting: 7, Limit: 2, BlockedBy: streams.BlockedByLimit, AvgWaitSeconds: 4, OldestWaitSeconds: 9},
	{Action: "mail.send", Waiting: 1, BlockedBy: streams.BlockedByRate, OldestWaitSeconds: 2},
	{Action: "mail.read", Waiting: 1, BlockedBy: streams.BlockedByPause, OldestWaitSeconds: 2},
}

// render gives what a view of this format and width prints.
func render(t *testing.T, format string, width int, show func(*view) error) string {
	t.Helper()
	var out bytes.Buffer
	v := &view{out: &out, notes: &out, format: format, width: width, now: now}
	if err := show(v); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestOutputIsAsItWas(t *testing.T) {
	t.Parallel()
	shows := map[string]func(*view) error{
		"executions":    func(v *view) error { return list(v, sampleExecutions, "executions", executionColumns(v)) },
		"no-executions": func(v *view) error { return list[api.Execution](v, nil, "executions", nil) },
		"execution":     func(v *view) error { return showOne(v, sampleExecutions[0], showExecution) },
		"failed":        func(v *view) error { return showOne(v, sampleExecutions[1], showExecution) },
		"waiting":       func(v *view) error { return showOne(v, sampleExecutions[2], showExecution) },
		"event":         func(v *view) error { return showOne(v, sampleEvent, showEvent) },
		"retrying":      func(v *view) error { return showOne(v, sampleExecutions[3], showExecution) },
		"queue":         func(v *view) error { return showOne(v, sampleQueue, showQueue) },
		"queue-empty": func(v *view) error {
			return showOne(v, api.Queue{QueueStats: api.QueueStats{Action: "core.echo"}}, showQueue)
		},
		"queues": func(v *view) error { return list(v, sampleQueues, "queues with work", queueColumns(now)) },
		"action": func(v *view) error {
			return showOne(v, api.Action{
				Ref: "core.sleep", Pack: "core", Name: "sleep", Description: "Sleep", Runtime: "shell", EntryPoint: "sleep.sh", Timeout: "10m0s",
				Concurrency: pack.Concurrency{Limit: 2, Key: "params.host"}, Rate: "10/m burst 1", QueueTimeout: "1h0m0s",
				Retry: &pack.Retry{Attempts: 3, Delay: pack.Duration(10 * time.Second), Backoff: 2, Order: pack.RetryHold}, Warm: new(2), Pool: "default", Parameters: json.RawMessage(`{"type":"object"}`),
			}, showAction)
		},
	}
	for name, show := range shows {
		for _, format := range formats {
			t.Run(name+"."+format, func(t *testing.T) {
				t.Parallel()
				golden(t, name+"."+format, render(t, format, 0, show))
			})
		}
		t.Run(name+".narrow", func(t *testing.T) {
			t.Parallel()
			golden(t, name+".narrow", render(t, formatTable, 100, show))
		})
	}
}

func TestATableFitsItsTerminalAndAPipeGetsAll(t *testing.T) {
	t.Parallel()
	long := []api.Pack{{Name: "p", Version: "1.0.0", UpdatedAt: now, Description: strings.Repeat("界e\u0301 ", 60)}}
	show := func(v *view) error { return list(v, long, "packs", packColumns(v, long)) }
	for _, width := range []int{40, 60, 80, 200} {
		for line := range strings.Lines(render(t, formatTable, width, show)) {
			if w := lipgloss.Width(strings.TrimRight(line, "\n")); w > width {
				t.Errorf("width %d: a line has %d: %s", width, w, line)
			}
		}
	}
	if all := render(t, formatTable, 0, show); !strings.Contains(all, strings.TrimSpace(long[0].Description)) {
		t.Errorf("a pipe does not get all: %s", all)
	}
}

func TestColourIsOnlyForTerminals(t *testing.T) {
	t.Parallel()
	if newPaint(&bytes.Buffer{}).on {
		t.Error("a buffer gets colour")
	}
	if got := (paint{on: true}).status("failed"); !strings.Contains(got, "\x1b[") {
		t.Errorf("a terminal gets no colour: %q", got)
	}
	if got := (paint{}).status("failed"); got != "failed" {
		t.Errorf("got %q", got)
	}
}

func TestTextCannotCommandTheTerminal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\x1b[2Jb": "a�[2Jb", "a\u202eb": "a�b", "a\rb": "a�b", "\u009b31m": "�31m", "ok ü 界\n\tx": "ok ü 界\n\tx",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestDurationsAndAges(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s ago", 119 * time.Second: "119s ago", 3 * time.Minute: "3m ago", 47 * time.Hour: "47h ago", 72 * time.Hour: "3d ago", -time.Second: "now",
	} {
		if got := ago(now, now.Add(-d)); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	for text, want := range map[string]string{
		"1h": "2026-01-31T11:00:00Z", "7d": "2026-01-24T12:00:00Z", "90s": "2026-01-31T11:58:30Z", "2026-01-01T00:00:00+01:00": "2025-12-31T23:00:00Z", "": "",
	} {
		if got, err := moment("since", text, now); err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{"yesterday", "-1h", "5", "d", "1x"} {
		if _, err := moment("since", bad, now); err == nil || ExitCode(err) != ExitUsage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	problem := &api.Problem{Status: 400, Code: api.CodeInvalidParameters, Detail: "parameters do not fit core.echo", Errors: []api.FieldError{
		{Field: "parameters.n", Message: "want a number"}, {Field: "parameters.message", Message: "is missing\x1b[0m"},
	}}
	errs := map[string]error{
		"problem":      problem,
		"unauthorized": &api.Problem{Status: 401, Code: api.CodeUnauthorized, Detail: "a token is needed"},
		"hinted":       WithExit(hinted(errors.New("stopped following; execution x goes on"), "cancel it: attune execution cancel x"), ExitInterrupted),
		"not-running":  notRunning("/var/lib/attune/attune.json", os.ErrNotExist),
		"not-ours":     notRunning("/var/lib/attune/attune.json", os.ErrPermission),
		"broken":       notRunning("/var/lib/attune/attune.json", errNoAddress),
		"quiet":        errQuiet,
	}
	for name, err := range errs {
		var b bytes.Buffer
		PrintError(&b, err)
		golden(t, "error-"+name, b.String())
	}
}

func TestExitStatuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[streams.Status]int{
		streams.Succeeded: 0, streams.Failed: 1, streams.TimedOut: 3, streams.Canceled: 4, streams.Lost: 5,
	} {
		if got := ExitCode(endOf(api.Execution{Status: status})); got != want {
			t.Errorf("%s: got %d, want %d", status, got, want)
		}
	}
}

// TestTheSecretsOfStdin keeps what a secret is from what tools put around it.
func TestTheSecretsOfStdin(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"abc\n": "abc", "abc": "abc", "abc\r\n": "abc", " a b ": " a b ", "a\nb\n": "a\nb\n", "abc\n\n": "abc\n\n",
	} {
		s := &session{in: strings.NewReader(in), errw: io.Discard}
		if got, err := s.secretValue([]string{"NAME", "-"}); err != nil || got != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	s := &session{in: strings.NewReader(strings.Repeat("x", maxSecret+1)), errw: io.Discard}
	if _, err := s.secretValue([]string{"NAME"}); err == nil {
		t.Error("a value over the limit was taken")
	}
}

func TestAValueThatCannotBeMaskedIsPointedOut(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"abc": true, " ab \n": true, "abcd": false} {
		var errw strings.Builder
		s := &session{errw: &errw}
		s.warnShort("NAME", value)
		if got := strings.Contains(errw.String(), "NAME has less than 4 bytes"); got != want {
			t.Errorf("%q: %q", value, errw.String())
		}
	}
}
