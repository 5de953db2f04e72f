package history_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/database"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// batch is how many executions are recorded at once.
const batch = 150

// meter measures processor time: of this process, and of the one process of PostgreSQL that serves it.
type meter struct {
	s       *history.Store
	backend int
}

func newMeter(b *testing.B) *meter {
	b.Helper()
	pool, err := database.Open(b.Context(), dbtest.URL(b), database.Options{Name: "bench", MaxConns: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	m := &meter{s: history.New(pool)}
	if err := pool.QueryRow(b.Context(), "SELECT pg_backend_pid()").Scan(&m.backend); err != nil {
		b.Fatal(err)
	}
	return m
}

func (m *meter) read(b *testing.B) (own, postgres time.Duration) {
	b.Helper()
	var u syscall.Rusage
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", m.backend))
	if err == nil {
		err = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	}
	var ns int64
	if err == nil {
		_, err = fmt.Fscan(strings.NewReader(string(text)), &ns)
	}
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), time.Duration(ns)
}

// run applies batches that are made beforehand, and reports processor time per execution.
func (m *meter) run(b *testing.B, make func(n int) func() error) {
	b.Helper()
	var own, postgres time.Duration
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		do := make(n)
		ownBefore, postgresBefore := m.read(b)
		b.StartTimer()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		ownAfter, postgresAfter := m.read(b)
		own, postgres = own+ownAfter-ownBefore, postgres+postgresAfter-postgresBefore
		b.StartTimer()
	}
	executions := float64(batch * b.N)
	b.ReportMetric(executions/b.Elapsed().Seconds(), "executions/s")
	b.ReportMetric(float64(own.Nanoseconds())/1e3/executions, "own-µs/execution")
	b.ReportMetric(float64(postgres.Nanoseconds())/1e3/executions, "postgres-µs/execution")
}

// ofNow makes the facts of executions whose whole life is in one batch, or in three when it is slow.
func ofNow(n int, id func(int) string) (facts [3][]history.FactAt) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range batch {
		f := life(id(n*batch+i), uint64(3*(n*batch+i)+1), streams.Running, streams.Succeeded)
		event := uuid.NewString()
		for j := range f {
			f[j].RequestedAt, f[j].At, f[j].Rule, f[j].Event = now, now, "core.rule", event
			facts[j] = append(facts[j], f[j])
		}
	}
	return facts
}

func newID(int) string { return execution.NewID() }

func derivedID(n int) string { return derived(fmt.Sprint("bench", n)) }

// BenchmarkApplyFacts records executions: those that ran within a batch, and those of which each fact comes in a batch of
// its own.
func BenchmarkApplyFacts(b *testing.B) {
	for _, c := range []struct {
		name    string
		id      func(int) string
		batches int
	}{{"at once, derived ids", derivedID, 1}, {"at once, ids of version 7", newID, 1}, {"fact by fact, derived ids", derivedID, 3}} {
		b.Run(c.name, func(b *testing.B) {
			m := newMeter(b)
			m.run(b, func(n int) func() error {
				facts := ofNow(n, c.id)
				batches := facts[:]
				if c.batches == 1 {
					batches = [][]history.FactAt{append(append(facts[0], facts[1]...), facts[2]...)}
				}
				return func() error {
					for _, f := range batches {
						if err := m.s.ApplyFacts(context.Background(), history.FactBatch{Epoch: epoch}, f); err != nil {
							return err
						}
					}
					return nil
				}
			})
		})
	}
}

// BenchmarkApplyEvents records events, and what was decided about them: after them, and with them.
func BenchmarkApplyEvents(b *testing.B) {
	for _, c := range []struct {
		name  string
		apply func(s *history.Store, events []history.Received, decisions []streams.Decision) error
	}{
		{"apart", func(s *history.Store, events []history.Received, decisions []streams.Decision) error {
			if err := s.ApplyEvents(context.Background(), events, nil); err != nil {
				return err
			}
			return s.ApplyEvents(context.Background(), nil, decisions)
		}},
		{"together", func(s *history.Store, events []history.Received, decisions []streams.Decision) error {
			return s.ApplyEvents(context.Background(), events, decisions)
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := newMeter(b)
			m.run(b, func(n int) func() error {
				events, decisions := decidedNow(n)
				return func() error { return c.apply(m.s, events, decisions) }
			})
		})
	}
}

func decidedNow(n int) (events []history.Received, decisions []streams.Decision) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range batch {
		e := received(derived(fmt.Sprint("event", n*batch+i)), uint64(i))
		e.ReceivedAt = now
		d := decision(e.ID, uint64(i), time.Hour)
		d.ReceivedAt = now
		events, decisions = append(events, e), append(decisions, d)
	}
	return events, decisions
}
