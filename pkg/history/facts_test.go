package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

const epoch = 1_700_000_000_000_000_000

var origin = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// life gives the facts of a whole execution in order: requested, then the given statuses, an attempt more
// with each further requested.
func life(id string, seq uint64, statuses ...streams.Status) []history.FactAt {
	f := streams.Fact{
		Version: 1, ID: id, Action: "core.echo", PackDigest: "sha256-ab", Status: streams.Requested, Attempt: 1, At: origin.Add(time.Duration(seq) * time.Second),
		RequestedAt: origin.Add(time.Duration(seq) * time.Second), RequestedBy: "api", Pool: "default", Parameters: json.RawMessage(`{"n":` + fmt.Sprint(seq) + `}`),
	}
	f.Admission, f.Retry = terms(seq)
	if seq%2 == 1 { // what many executions have none of
		f.Key, f.Limit, f.Hops, f.Rule, f.Event, f.RetryOf = "web1", 2, 1, "web.down", uuid.NewString(), uuid.NewString()
	}
	facts := []history.FactAt{{Fact: f, Seq: seq}}
	for i, s := range statuses {
		f = next(f, s)
		if s == streams.Requested {
			f.Parameters = facts[0].Parameters
		}
		facts = append(facts, history.FactAt{Fact: f, Seq: seq + uint64(i) + 1})
	}
	return facts
}

// terms gives what an action may say of admission and retries: something else for each sequence.
func terms(seq uint64) (streams.Admission, *streams.Retry) {
	switch seq % 3 {
	case 0:
		return streams.Admission{}, nil
	case 1:
		return streams.Admission{Priority: streams.PriorityHigh, PackLimit: 7, Rate: "10/m burst 2", QueueTimeoutSeconds: 1.5}, nil
	}
	return streams.Admission{Priority: streams.PriorityLow, Reject: true},
		&streams.Retry{Attempts: 3, DelaySeconds: 0.25, Backoff: 2, MaxDelaySeconds: 60, Jitter: 0.1, On: []streams.Status{streams.Failed, streams.Lost}, Hold: true}
}

func next(f streams.Fact, s streams.Status) streams.Fact {
	f.At, f.Parameters, f.Status = f.At.Add(time.Millisecond), nil, s
	at := f.At
	switch {
	case s == streams.Requested:
		later, code := at.Add(time.Minute), 3
		f.Previous = append(slices.Clone(f.Previous), streams.Attempt{
			Attempt: f.Attempt, Status: streams.Failed, Runner: f.Runner, StartedAt: f.StartedAt, EndedAt: &at, ExitCode: &code,
			Error: &streams.Error{Class: streams.ClassExitStatus, Message: "a\x00b"},
		})
		f.Attempt++
		f.NotBefore = &later
		f.StartedAt, f.EndedAt, f.Runner, f.Error, f.ExitCode = nil, nil, "", nil, nil
	case s == streams.Running:
		f.StartedAt, f.Runner = &at, "r1"
	case execution.Final(s):
		f.EndedAt = &at
		f.Output = &streams.Output{StdoutBytes: 3, Truncated: true, Dropped: 1}
	}
	if s == streams.Succeeded {
		f.Result = json.RawMessage(`{"ok": true}`)
	} else if execution.Final(s) {
		f.Error = &streams.Error{Class: streams.ClassInternal, Message: "m"}
	}
	if s == streams.Canceled {
		f.By, f.Output.Held, f.Output.Incomplete = "admin", true, true
	}
	if s == streams.Failed {
		f.Signal, f.Output.StderrBytes, f.Output.LogBytes, f.Output.StoredBytes = "KILL", 4, 5, 6
	}
	return f
}

func apply(t testing.TB, s *history.Store, facts ...history.FactAt) {
	t.Helper()
	if err := s.ApplyFacts(context.Background(), history.FactBatch{Epoch: epoch}, facts); err != nil {
		t.Fatal(err)
	}
}

func show(t testing.TB, s *history.Store, id string) history.Execution {
	t.Helper()
	e, err := s.Execution(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What history gives back is the fact that the bus had, whole: an execution whose facts were lost with their
// stream is requested again from it.
func TestFactsBecomeAnExecution(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	for i, path := range [][]streams.Status{
		{},
		{streams.Running, streams.Succeeded},
		{streams.Running, streams.Failed},
		{streams.Running, streams.Requested},
		{streams.Running, streams.Requested, streams.Canceled},
		{streams.Running, streams.Requested, streams.Running, streams.Requested, streams.Running, streams.TimedOut},
	} {
		for seq := uint64(100 * i); seq < uint64(100*i+3); seq++ { // all terms
			id := execution.NewID()
			facts := life(id, seq, path...)
			apply(t, s, facts...)
			got, want := show(t, s, id).Fact(), facts[len(facts)-1].Fact
			want.Parameters = facts[0].Parameters
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%v: %s", path, d)
			}
		}
	}
}

func TestAPriorityThatNobodyKnowsIsRefused(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	f := life(execution.NewID(), 1)
	f[0].Priority = "urgent"
	if err := s.ApplyFacts(context.Background(), history.FactBatch{Epoch: epoch}, f); !history.IsRefusal(err) {
		t.Errorf("recorded: %v", err)
	}
}

// Values that jsonb refuses or changes come back as they were.
func TestDocumentsComeBackByteByByte(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	for i, doc := range []string{
		`{"a":"\u0000","b":"\ud800"}`, `{"n":12345678901234567890123456789, "x":1e200000, "y":1.0}`, `{"b":1,"a":2}`, `null`,
		strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000), `"` + strings.Repeat("x", 1<<20) + `"`,
	} {
		f := life(execution.NewID(), uint64(10*i+1), streams.Running, streams.Succeeded)
		f[0].Parameters, f[2].Result = json.RawMessage(doc), json.RawMessage(doc)
		apply(t, s, f...)
		e := show(t, s, f[0].ID)
		if string(e.Parameters) != doc || string(e.Result) != doc {
			t.Errorf("%.60s came back as %.60s and %.60s", doc, e.Parameters, e.Result)
		}
	}
}

// Text that PostgreSQL refuses is mended, not lost.
func TestTextWithNulAndBrokenUTF8IsRecorded(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	f := life(execution.NewID(), 1, streams.Running, streams.Failed)
	f[2].Error = &streams.Error{Class: "exit_status", Message: "a\x00b\xff"}
	apply(t, s, f...)
	if got := show(t, s, f[0].ID).Error.Message; got != "a\uFFFDb\uFFFD" {
		t.Errorf("message is %q", got)
	}
}

// The table in SQL says what the table in Go says, with the steps in between left out.
func TestStatusesMoveInSQLAsTheTableAllows(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	seq := uint64(1)
	for _, from := range execution.Statuses() {
		for _, to := range execution.Statuses() {
			for _, attempts := range []int{0, 1} {
				older := reach(execution.NewID(), seq, from)
				newer := older
				newer.Status, newer.Attempt, newer.Seq = to, older.Attempt+attempts, older.Seq+1
				newer.Fact = plausible(newer.Fact)
				seq += 10
				checkMove(t, s, older, newer, reachable(from, to, attempts))
			}
		}
	}
}

func reach(id string, seq uint64, s streams.Status) history.FactAt {
	f := life(id, seq)[0]
	f.Status = s
	f.Fact = plausible(f.Fact)
	return f
}

// plausible gives a fact the columns that its status demands.
func plausible(f streams.Fact) streams.Fact {
	f.StartedAt, f.EndedAt = nil, nil
	if f.Status != streams.Requested {
		f.StartedAt = &f.At
	}
	if execution.Final(f.Status) {
		f.EndedAt = &f.At
	}
	return f
}

// reachable walks the table of statuses; every requested after a running is one attempt more.
func reachable(from, to streams.Status, attempts int) bool {
	if from == to && attempts == 0 {
		return true
	}
	for _, s := range execution.Statuses() {
		if !execution.MayFollow(from, s) {
			continue
		}
		used := 0
		if s == streams.Requested {
			used = 1
		}
		if used <= attempts && reachable(s, to, attempts-used) {
			return true
		}
	}
	return false
}

// checkMove applies the facts one after the other. A newer one that the table refuses is an error; an older
// one changes nothing.
func checkMove(t *testing.T, s *history.Store, from, to history.FactAt, legal bool) {
	t.Helper()
	apply(t, s, from)
	err := s.ApplyFacts(context.Background(), history.FactBatch{Epoch: epoch}, []history.FactAt{to})
	got := show(t, s, from.ID)
	moved := got.Status == to.Status && got.Attempt == to.Attempt
	if moved != legal {
		t.Errorf("%s to %s %d attempts later: moved %v, want %v (%v)", from.Status, to.Status, to.Attempt-from.Attempt, moved, legal, err)
	}
	if err != nil && !history.IsRefusal(err) {
		t.Errorf("%s to %s: %v is no refusal", from.Status, to.Status, err)
	}
	both := s.ApplyFacts(context.Background(), history.FactBatch{Epoch: epoch}, []history.FactAt{rename(from), rename(to)})
	if (both == nil) != (err == nil) && legal {
		t.Errorf("%s to %s in one batch: %v, alone: %v", from.Status, to.Status, both, err)
	}
}

func rename(f history.FactAt) history.FactAt {
	f.ID = uuid.NewSHA1(uuid.Nil, []byte(f.ID)).String()
	return f
}

func TestTwoEndsOfOneAttemptAreRefused(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	f := life(execution.NewID(), 1, streams.Running, streams.Succeeded)
	apply(t, s, f...)
	other := f[2]
	other.Status, other.Result, other.Seq = streams.Failed, nil, 9
	ctx, batch := context.Background(), history.FactBatch{Epoch: epoch}
	if err := s.ApplyFacts(ctx, batch, []history.FactAt{other}); !history.IsRefusal(err) {
		t.Errorf("second end: %v", err)
	}
	if err := s.ApplyFacts(ctx, batch, []history.FactAt{rename(f[2]), rename(other)}); !errors.Is(err, history.ErrTransition) {
		t.Errorf("two ends in one batch: %v", err)
	}
}

// lives draws some executions and gives all their facts in order.
func lives(t *rapid.T) []history.FactAt {
	paths := [][]streams.Status{
		{},
		{streams.Canceled},
		{streams.Running},
		{streams.Running, streams.Succeeded},
		{streams.Running, streams.Canceling},
		{streams.Running, streams.Canceling, streams.Canceled},
		{streams.Running, streams.Failed},
		{streams.Running, streams.TimedOut},
		{streams.Running, streams.Lost},
		{streams.Lost},
		{streams.TimedOut},
		{streams.Running, streams.Requested},
		{streams.Running, streams.Requested, streams.Running, streams.Succeeded},
		{streams.Running, streams.Requested, streams.Running, streams.Requested, streams.Canceled},
		{streams.Running, streams.Requested, streams.Running, streams.Lost},
		{streams.Running, streams.Requested, streams.Running, streams.Requested, streams.Running, streams.Failed},
	}
	var all []history.FactAt
	for i := range rapid.IntRange(1, 6).Draw(t, "executions") {
		id := uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint("x", i))).String()
		all = append(all, life(id, uint64(100*i)+rapid.Uint64Range(1, 3).Draw(t, "terms"), rapid.SampledFrom(paths).Draw(t, "path")...)...)
	}
	return all
}

// Any order, any duplicates, any cut into batches: the same rows.
func TestFactsInAnyOrderGiveTheSameRows(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := history.New(pool)
	rapid.Check(t, func(rt *rapid.T) {
		facts := lives(rt)
		want := rowsAfter(rt, s, facts, len(facts))
		mixed := append([]history.FactAt{}, facts...)
		mixed = append(mixed, rapid.SliceOfN(rapid.SampledFrom(facts), 0, len(facts)).Draw(rt, "duplicates")...)
		mixed = rapid.Permutation(mixed).Draw(rt, "order")
		for i, f := range mixed {
			if f.Status != streams.Requested && rapid.Bool().Draw(rt, "by its head") {
				head := streams.Fact{ID: f.ID, Action: f.Action, Status: f.Status, Attempt: f.Attempt}
				mixed[i] = history.FactAt{Fact: head, Seq: f.Seq, Whole: func() (streams.Fact, error) { return f.Fact, nil }}
			}
		}
		got := rowsAfter(rt, s, mixed, rapid.IntRange(1, 7).Draw(rt, "batch"))
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatal(d)
		}
	})
}

type row struct {
	Execution history.Execution
	Leftover  []int64
}

func rowsAfter(t *rapid.T, s *history.Store, facts []history.FactAt, batch int) map[string]row {
	ctx := context.Background()
	if err := s.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	for len(facts) > 0 {
		n := min(batch, len(facts))
		if err := s.ApplyFacts(ctx, history.FactBatch{Epoch: epoch}, facts[:n]); err != nil {
			t.Fatal(err)
		}
		facts = facts[n:]
	}
	return allRows(t, s)
}

func allRows(t *rapid.T, s *history.Store) map[string]row {
	ctx, out := context.Background(), map[string]row{}
	page, err := s.ListExecutions(ctx, history.ExecutionFilter{}, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		out[e.ID] = row{Execution: e}
	}
	left, err := s.Leftovers(ctx, epoch, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range left {
		out[l.ID] = row{Execution: out[l.ID].Execution, Leftover: l.Seqs}
	}
	return out
}
