package retention_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/retention"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) {
	if os.Getenv("SWEEP_DATABASE") != "" {
		sweepUntilKilled()
		return
	}
	goleak.VerifyTestMain(m)
}

// row is an execution as far as retention looks at it.
type row struct {
	id      string
	action  string
	asked   time.Time // when it was requested; zero: now
	ended   time.Time // zero: it runs
	settled bool
	stored  int64
	event   string // the event that it came of, if any
}

func insert(t testing.TB, db *pgxpool.Pool, rows ...row) {
	t.Helper()
	for _, r := range rows {
		status, ended, settled := "running", (*time.Time)(nil), (*time.Time)(nil)
		if !r.ended.IsZero() {
			status, ended = "succeeded", &r.ended
			if r.settled {
				settled = &r.ended
			}
		}
		_, err := db.Exec(context.Background(), `INSERT INTO executions (id, action, pack_digest, status, attempt, changed_at, requested_at, started_at, ended_at,
			log_bytes, stored_bytes, log_settled_at, stream_epoch, fact_seqs, announced_attempt, event_id)
			VALUES ($1, $2, '', $3, 1, now(), coalesce($8, now()), now(), $4, $5, $5, $6, 1, '{}', $7, nullif($9, '')::uuid)`,
			r.id, r.action, status, ended, r.stored, settled, map[bool]int{true: 1}[ended != nil], orNil(r.asked), r.event)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// model is what is to go, worked out in memory.
func model(rows []row, p retention.Policies, now time.Time) map[string]string {
	var kept []row
	for _, r := range rows {
		if !r.ended.IsZero() && r.settled && r.stored > 0 {
			kept = append(kept, r)
		}
	}
	slices.SortFunc(kept, func(a, b row) int { return cmp.Or(a.ended.Compare(b.ended), cmp.Compare(a.id, b.id)) })
	gone := map[string]string{}
	left := func(of func(row) bool) (n, size int64) {
		for _, r := range kept {
			if gone[r.id] == "" && of(r) {
				n, size = n+1, size+r.stored+described
			}
		}
		return n, size
	}
	for action, own := range p.Actions {
		mine := func(r row) bool { return r.action == action }
		for _, r := range kept {
			if !mine(r) {
				continue
			}
			n, size := left(mine)
			switch {
			case own.Age > 0 && r.ended.Before(now.Add(-own.Age)):
				gone[r.id] = "age"
			case own.Count > 0 && n > own.Count:
				gone[r.id] = "count"
			case own.Bytes > 0 && size > own.Bytes:
				gone[r.id] = "bytes"
			}
		}
	}
	for _, r := range kept {
		if p.Logs.Age > 0 && p.Actions[r.action].Age == 0 && r.ended.Before(now.Add(-p.Logs.Age)) && gone[r.id] == "" {
			gone[r.id] = "age"
		}
	}
	for _, r := range kept {
		n, size := left(func(row) bool { return true })
		switch {
		case gone[r.id] != "":
		case p.Logs.Count > 0 && n > p.Logs.Count:
			gone[r.id] = "count"
		case p.Logs.Bytes > 0 && size > p.Logs.Bytes:
			gone[r.id] = "bytes"
		}
	}
	return gone
}

// described is what the description of a log's objects counts for.
const described = 500

func anyPolicy(t *rapid.T, name string) retention.Policy {
	return retention.Policy{
		Age:   time.Duration(rapid.IntRange(0, 12).Draw(t, name+" age")) * time.Hour,
		Count: rapid.Int64Range(0, 12).Draw(t, name+" count"), Bytes: described * rapid.Int64Range(0, 20).Draw(t, name+" bytes"),
	}
}

func anyRows(t *rapid.T, now time.Time) (rows []row) {
	for range rapid.IntRange(0, 25).Draw(t, "rows") {
		r := row{
			id: uuid.NewString(), action: rapid.SampledFrom([]string{"p.a", "p.b", "p.c"}).Draw(t, "action"),
			stored: described * rapid.Int64Range(0, 3).Draw(t, "stored"), settled: rapid.IntRange(0, 9).Draw(t, "settled") > 0,
		}
		if rapid.IntRange(0, 9).Draw(t, "ended") > 0 {
			r.ended = now.Add(-time.Duration(rapid.IntRange(0, 15).Draw(t, "ago"))*time.Hour + time.Minute)
		}
		rows = append(rows, r)
	}
	return rows
}

// The plan is what a model in memory says, of every policy and any rows.
func TestAPlanTakesWhatNoPolicyKeeps(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Now().UTC().Truncate(time.Second)
		if _, err := db.Exec(context.Background(), "DELETE FROM executions"); err != nil {
			rt.Fatal(err)
		}
		rows := anyRows(rt, now)
		p := retention.Policies{Logs: anyPolicy(rt, "all"), Actions: map[string]retention.Policy{"p.unheard": {Count: 1}}}
		for _, action := range []string{"p.a", "p.b"} {
			if own := anyPolicy(rt, action); own != (retention.Policy{}) {
				p.Actions[action] = own
			}
		}
		insert(t, db, rows...)
		plan, err := retention.MakePlan(context.Background(), db, p, now)
		if err != nil {
			rt.Fatal(err)
		}
		got := map[string]string{}
		for l, err := range plan.Logs(context.Background()) {
			if err != nil {
				rt.Fatal(err)
			}
			if got[l.ID] != "" {
				rt.Fatalf("%s comes twice", l.ID)
			}
			got[l.ID], _, _ = strings.Cut(l.By, " ")
		}
		if diff := gocmp.Diff(model(rows, p, now), got); diff != "" {
			rt.Fatalf("%+v: %s", p, diff)
		}
	})
}

// world is a database and a bus with logs of executions.
type world struct {
	*bus.Bus
	db   *pgxpool.Pool
	logs *logs.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b := natstest.New(t)
	return &world{Bus: b, db: dbtest.New(t), logs: openLogs(t, b)}
}

func openLogs(t testing.TB, b *bus.Bus) *logs.Store {
	t.Helper()
	s, err := logs.Open(context.Background(), logs.Config{Bus: b, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) write(t *testing.T, id string) {
	t.Helper()
	out, err := w.logs.NewWriter(id, logs.Source{}, logs.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = out.Stdout().Write([]byte("a line\n"))
	if _, err := out.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// stored lists the logs of which something is stored.
func (w *world) stored(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for l, err := range w.logs.List(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		all[l.ID] = true
	}
	return all
}

func (w *world) removed(t *testing.T, id string) (by string) {
	t.Helper()
	if err := w.db.QueryRow(t.Context(), "SELECT log_removed_by FROM executions WHERE id = $1", id).Scan(&by); err != nil {
		t.Fatal(err)
	}
	return by
}

// Under the tightest policy nothing goes of what runs, or whose log may still be completed; rows outlive their logs
// and say what became of them; and a dry run tells what the real one does.
func TestOnlyLogsThatAreCompleteAreSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ago := time.Now().Add(-time.Hour)
	running := row{id: uuid.NewString(), action: "p.a", stored: 7}
	unsettled := row{id: uuid.NewString(), action: "p.a", stored: 7, ended: ago}
	ended := row{id: uuid.NewString(), action: "p.a", stored: 7, ended: ago, settled: true}
	own := row{id: uuid.NewString(), action: "p.own", stored: 7, ended: ago, settled: true}
	for _, r := range []row{running, unsettled, ended, own} {
		insert(t, w.db, r)
		w.write(t, r.id)
	}
	s := &retention.Sweeper{DB: w.db, Bus: w.Bus, Logs: w.logs, Policies: retention.Policies{
		Logs: retention.Policy{Age: time.Second, Count: 10, Bytes: 1 << 30}, Actions: map[string]retention.Policy{"p.own": {Age: 30 * 24 * time.Hour}},
	}}
	would, err := s.DryRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if by := w.removed(t, ended.id); by != "" || len(w.stored(t)) != 4 {
		t.Fatalf("a dry run removed by %q, left %v", by, w.stored(t))
	}
	did, err := s.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(would, did); diff != "" || did.Removed.Logs != 1 {
		t.Errorf("a dry run and the real one differ: %s", diff)
	}
	if diff := gocmp.Diff(map[string]bool{running.id: true, unsettled.id: true, own.id: true}, w.stored(t)); diff != "" {
		t.Errorf("stored: %s", diff)
	}
	if by := w.removed(t, ended.id); by != "age 1s" {
		t.Errorf("removed by %q", by)
	}
	if again, err := s.Sweep(t.Context()); err != nil || again.Removed.Logs != 0 {
		t.Errorf("the second sweep removed %+v: %v", again.Removed, err)
	}
}

// Logs that nobody knows go when space is short; those of a sensor or a version that exists, or of an execution that
// history or the bus knows, stay.
func TestLogsThatNobodyKnowsAreSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known := row{id: uuid.NewString(), action: "p.a", stored: 7}
	insert(t, w.db, known)
	install, old := streams.InstallLog("sha256-0123456789", "r1", 1), streams.InstallLog("sha256-abcdef0123", "r1", 1)
	for _, id := range []string{known.id, uuid.NewString(), "sensor-p-s-abc", install, old, "something-else"} {
		w.write(t, id)
	}
	s := &retention.Sweeper{DB: w.db, Bus: w.Bus, Logs: w.logs, Versions: []string{"sha256-0123456789"}}
	dead, err := s.Dead(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(3, len(dead)); diff != "" || slices.Contains(dead, known.id) || slices.Contains(dead, install) || slices.Contains(dead, "something-else") {
		t.Errorf("nobody knows %v", dead)
	}
}

// sweepUntilKilled is the process that a test kills in the middle of a sweep.
func sweepUntilKilled() {
	ctx := context.Background()
	db, err := database.Open(ctx, os.Getenv("SWEEP_DATABASE"), database.Options{Name: "sweep"})
	if err != nil {
		panic(err)
	}
	b, err := bus.Connect(ctx, bus.Config{URL: os.Getenv("SWEEP_NATS"), CredsFile: os.Getenv("SWEEP_CREDS"), Name: "sweep"})
	if err != nil {
		panic(err)
	}
	store, err := logs.Open(ctx, logs.Config{Bus: b})
	if err != nil {
		panic(err)
	}
	s := &retention.Sweeper{DB: db, Bus: b, Logs: store, Policies: retention.Policies{Logs: retention.Policy{Count: 1}}}
	s.Progress = func(context.Context, retention.Report) {
		_, _ = os.Stdout.WriteString("some are removed\n")
		select {} // to be killed here
	}
	_, _ = s.Sweep(ctx)
}

// A sweep that is killed in the middle is completed by the next.
func TestASweepThatWasKilledIsCompleted(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	db, err := database.Open(t.Context(), url, database.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	server := natstest.Start(t)
	b := natstest.Connect(t, server)
	w := &world{Bus: b, db: db, logs: openLogs(t, b)}
	var rows []row
	for i := range 130 { // more than are removed before rows say so
		r := row{id: uuid.NewString(), action: "p.a", stored: 7, settled: true, ended: time.Now().Add(time.Duration(i) * time.Second)}
		rows = append(rows, r)
		insert(t, db, r)
		w.write(t, r.id)
	}
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), "SWEEP_DATABASE="+url, "SWEEP_NATS="+server.URL(), "SWEEP_CREDS="+server.CredsFile())
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = c.Process.Kill()
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) {
		t.Fatalf("killed: %v", err)
	}
	// As after a kill between the two steps: a log is gone, and its row does not say so.
	if err := w.logs.Remove(t.Context(), rows[110].id); err != nil {
		t.Fatal(err)
	}
	s := &retention.Sweeper{DB: db, Bus: b, Logs: w.logs, Policies: retention.Policies{Logs: retention.Policy{Count: 1}}}
	if r, err := s.Sweep(t.Context()); err != nil || r.Removed.Logs != 29 {
		t.Errorf("the next removed %d: %v", r.Removed.Logs, err)
	}
	if left := w.stored(t); len(left) != 1 || !left[rows[129].id] {
		t.Errorf("%d are left", len(left))
	}
}
