package recorder_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/forward"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/recorder"
	"github.com/attune/attune/streams"
)

const patience = time.Minute

type fixture struct {
	*bus.Bus
	db      *pgxpool.Pool
	link    *dbtest.Link
	history *history.Store
	grace   time.Duration
	forward forward.Destination
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, link := dbtest.NewLinked(t)
	return &fixture{Bus: natstest.New(t), db: db, link: link, history: history.New(db), grace: time.Hour}
}

// start runs a recorder and gives what stops it and waits.
func (f *fixture) start(t *testing.T) (stop func()) {
	t.Helper()
	r, err := recorder.New(recorder.Config{Bus: f.Bus, DB: f.db, Grace: f.grace, Settle: time.Millisecond, Forward: f.forward, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("recorder: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits until ok says true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	give := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-give:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func (f *fixture) publish(t *testing.T, subject, data string) {
	t.Helper()
	if _, err := f.JS.Publish(t.Context(), subject, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// request requests an execution and takes it to the given statuses.
func (f *fixture) request(t *testing.T, statuses ...streams.Status) string {
	t.Helper()
	facts := execution.NewFacts(f.JS)
	id := execution.NewID()
	got, err := facts.Request(t.Context(), execution.Request{ID: id, Action: "core.echo", PackDigest: "sha256-ab", Parameters: json.RawMessage(`{"n":1}`), Pool: "default", By: "api"})
	if err != nil {
		t.Fatal(err)
	}
	st := got.State
	for _, s := range statuses {
		to := st.Fact
		to.Status, to.At, to.Parameters = s, time.Now().UTC(), nil
		if s == streams.Running {
			to.StartedAt, to.Runner = &to.At, "r1"
		}
		if execution.Final(s) {
			to.EndedAt = &to.At
		}
		seq, err := facts.Append(t.Context(), st, to)
		if err != nil {
			t.Fatal(err)
		}
		st = execution.State{Fact: to, Sequence: seq}
	}
	return id
}

// status is what history says, or "" when it does not know the execution or is away.
func (f *fixture) status(t *testing.T, id string) streams.Status {
	t.Helper()
	e, err := f.history.Execution(t.Context(), id)
	if err != nil {
		return ""
	}
	return e.Status
}

// settled tells whether the recorder has acknowledged all that the stream holds.
func (f *fixture) settled(t *testing.T, stream string) bool {
	t.Helper()
	c, err := f.JS.Consumer(t.Context(), stream, streams.ConsumerRecorder)
	if err != nil {
		return false
	}
	info := c.CachedInfo()
	return info.NumPending == 0 && info.NumAckPending == 0
}

func (f *fixture) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := f.db.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (f *fixture) messages(t *testing.T, stream string) uint64 {
	t.Helper()
	s, err := f.JS.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// install installs a pack core that has the trigger of ends, with or without a rule on it.
func (f *fixture) install(t *testing.T, version string, withRule bool) {
	t.Helper()
	p := pack.Pack{
		Name: "core", Version: version,
		Actions:  []pack.Action{{Name: "log", Runtime: "shell", EntryPoint: "log.sh"}},
		Triggers: []pack.Trigger{{Name: "execution_ended"}},
	}
	if withRule {
		p.Rules = []pack.Rule{{Name: "tell", Trigger: "core.execution_ended", Action: "core.log"}}
	}
	_, err := definitions.New(f.db).Install(t.Context(), definitions.Installed{Pack: p, Digest: strings.Repeat(version[:1], 64), Source: "test", By: "test"})
	if err != nil {
		t.Fatal(err)
	}
}
