package admission_test

import (
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	echo  = pack.Ref{Pack: "core", Name: "echo"}
	start = time.Unix(1_800_000_000, 0).UTC()
)

func queued(s *admission.State, limit int, seqs ...uint64) {
	for _, n := range seqs {
		s.Queued(admission.Request{ID: id(n), Queue: admission.Queue{Action: echo}, Seq: n, Policy: admission.Policy{Limit: limit}, Attempt: 1, At: start}, start)
	}
}

func admitted(s *admission.State) (ids []uint64) {
	for {
		a, ok := s.Next(start)
		if !ok {
			return ids
		}
		s.Start(a.ID, a.Attempt, start)
		for n := uint64(0); ; n++ {
			if a.ID == id(n) {
				ids = append(ids, n)
				break
			}
		}
	}
}

func wantAdmitted(t *testing.T, s *admission.State, want ...uint64) {
	t.Helper()
	if diff := cmp.Diff(want, admitted(s)); diff != "" {
		t.Errorf("admitted (-want +got):\n%s", diff)
	}
}

// Of two that are handed to runners at once the later might be claimed first.
func TestWithALimitTheNextWaitsForTheClaimOfTheOneBefore(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	queued(s, 3, 1, 2, 3)
	first, ok := s.Next(start)
	if _, more := s.Next(start); !ok || more {
		t.Fatalf("admitted %v, and another before its claim: %v", ok, more)
	}
	if st := s.ActionStats(echo, start); st.BlockedBy != streams.BlockedByRunner {
		t.Errorf("blocked by %q", st.BlockedBy)
	}
	s.Start(first.ID, 1, start)
	wantAdmitted(t, s, 2, 3)
	free := admission.New(0)
	queued(free, 0, 1, 2)
	free.Next(start)
	if _, ok := free.Next(start); !ok {
		t.Error("without a limit there is no order to keep")
	}
}

// Who may not wait still lets the one before be claimed first, when there is a slot for both.
func TestWhoMayNotWaitIsNotRefusedWhileThereIsASlot(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	for n := range uint64(3) {
		s.Queued(admission.Request{
			ID: id(n), Queue: admission.Queue{Action: echo}, Seq: n + 1, Policy: admission.Policy{Limit: 2}, Attempt: 1, At: start, Reject: true,
		}, start)
	}
	var got []admission.Kind
	for d, ok := s.Next(start); ok; d, ok = s.Next(start) {
		got = append(got, d.Kind)
	}
	if want := []admission.Kind{admission.Admit, admission.Refuse}; !slices.Equal(got, want) {
		t.Fatalf("decisions %v, want %v: the second is still open", got, want)
	}
	if p, _ := s.Locate(id(1), start); p.Position != 0 || p.Refused != "" {
		t.Errorf("the second: %+v", p)
	}
	s.Start(id(0), 1, start)
	if d, ok := s.Next(start); !ok || d.Kind != admission.Admit || d.ID != id(1) {
		t.Errorf("after the claim: %+v, %v", d, ok)
	}
}

// The scenario that the users described.
func TestFiveExecutionsAtLimitTwo(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	queued(s, 2, 1, 2, 3, 4, 5)
	wantAdmitted(t, s, 1, 2)
	s.End(id(1), 1, start)
	wantAdmitted(t, s, 3)
	s.End(id(2), 1, start)
	wantAdmitted(t, s, 4)
	s.End(id(4), 1, start)
	wantAdmitted(t, s, 5)
	s.End(id(3), 1, start)
	wantAdmitted(t, s)
}

func TestALimitThatIsLoweredAdmitsNobodyUntilEnoughHaveEnded(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	queued(s, 3, 1, 2, 3, 4, 5)
	wantAdmitted(t, s, 1, 2, 3)
	s.SetPolicy(echo, admission.Policy{Limit: 1})
	s.End(id(1), 1, start)
	s.End(id(2), 1, start)
	wantAdmitted(t, s)
	s.End(id(3), 1, start)
	wantAdmitted(t, s, 4)
	s.SetPolicy(echo, admission.Policy{Limit: 2})
	wantAdmitted(t, s, 5)
}

func TestDefinitionsWinOverWhatRequestsCarry(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	s.SetPolicy(echo, admission.Policy{Limit: 1})
	queued(s, 5, 1, 2, 3)
	wantAdmitted(t, s, 1)
	s.ForgetPolicy(echo)
	wantAdmitted(t, s)
	queued(s, 2, 4)
	wantAdmitted(t, s, 2)
}

func TestANegativeLimitIsTheStrictest(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	queued(s, -7, 1, 2)
	wantAdmitted(t, s, 1)
}

func TestALateMessageOfAnEndedExecutionIsStale(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	s.End(id(1), 1, start) // canceled before its queue message was read
	r := admission.Request{ID: id(1), Queue: admission.Queue{Action: echo}, Seq: 9, Attempt: 1, At: start}
	if v, _ := s.Queued(r, start); v != admission.Stale {
		t.Errorf("verdict %v, want stale", v)
	}
	r.Attempt = 2
	if v, _ := s.Queued(r, start); v != admission.Added {
		t.Errorf("verdict of the next attempt %v, want added", v)
	}
	if _, ok := s.End(id(1), 1, start); ok {
		t.Error("the late end of an earlier attempt ended the next one")
	}
}

func TestARepeatedMessageKeepsThePlaceAndIsTheOneToDelete(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	queued(s, 1, 1, 2, 3)
	s.Queued(admission.Request{ID: id(2), Queue: admission.Queue{Action: echo}, Seq: 8, Policy: admission.Policy{Limit: 1}, Attempt: 1, At: start}, start)
	if p, _ := s.Locate(id(2), start); p.Position != 2 || p.Message != 8 {
		t.Errorf("place %+v, want position 2, message 8", p)
	}
}

func TestStatsEstimateFromWhatWasSeen(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	queued(s, 2, 1, 2, 3, 4, 5, 6)
	now := start.Add(3 * time.Second)
	for range 2 {
		d, _ := s.Next(now)
		s.Start(d.ID, d.Attempt, now)
	}
	now = now.Add(10 * time.Second)
	s.End(id(1), 1, now)
	d, _ := s.Next(now)
	s.Start(d.ID, d.Attempt, now)
	want := admission.Stats{
		Waiting: 3, Running: 2, Limit: 2, Oldest: 13 * time.Second,
		AvgWait:       19 * time.Second / 3, // 3 + 3 + 13 seconds
		Drain:         10 * time.Second,     // one when the other slot is free at once, two when those have held theirs
		EstimateError: -1, BlockedBy: streams.BlockedByLimit,
	}
	got := s.Stats(admission.Queue{Action: echo}, now)
	got.AvgWait, want.AvgWait = got.AvgWait.Round(time.Millisecond), want.AvgWait.Round(time.Millisecond)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	if got := s.ActionStats(echo, now); got.Drain != want.Drain || got.Waiting != 3 {
		t.Errorf("stats of the action %+v", got)
	}
}

func TestQueuesTakeTurns(t *testing.T) {
	t.Parallel()
	s := admission.New(0)
	for n := range uint64(6) {
		q := admission.Queue{Action: echo, Key: strconv.Itoa(int(n / 3))}
		s.Queued(admission.Request{ID: id(n), Queue: q, Seq: n + 1, Attempt: 1, At: start}, start)
	}
	wantAdmitted(t, s, 0, 3, 1, 4, 2, 5)
}

// Long lines, with arrivals out of order and removals anywhere, keep order and count right over block borders.
func TestLongLinesKeepOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, want := admission.New(0), []uint64{}
		s.SetPolicy(echo, admission.Policy{Limit: 1})
		s.SetControl(echo.String(), admission.Control{Paused: true}, start)
		for _, n := range rapid.Permutation(numbers(rapid.IntRange(1, 3000).Draw(t, "n"))).Draw(t, "order") {
			queued(s, 1, n)
			want = append(want, n)
		}
		slices.Sort(want)
		for range rapid.IntRange(0, 50).Draw(t, "cancels") {
			if len(want) > 1 {
				i := rapid.IntRange(0, len(want)-1).Draw(t, "cancel")
				s.End(id(want[i]), 1, start)
				want = slices.Delete(want, i, i+1)
			}
		}
		i := rapid.IntRange(0, len(want)-1).Draw(t, "asked")
		if p, ok := s.Locate(id(want[i]), start); !ok || p.Position != i+1 {
			t.Fatalf("position %d, want %d", p.Position, i+1)
		}
		part := s.Line(admission.Queue{Action: echo}, i, 5, start)
		for j, p := range part {
			if p.ID != id(want[i+j]) || p.Position != i+j+1 {
				t.Fatalf("line at %d: %+v", i+j, p)
			}
		}
		if len(part) != min(5, len(want)-i) {
			t.Fatalf("%d listed", len(part))
		}
	})
}

func numbers(n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = uint64(i + 1)
	}
	return all
}

func fill(s *admission.State, queues, n int) {
	names := make([]string, queues)
	for i := range names {
		names[i] = "key-" + strconv.Itoa(i)
	}
	for i := range n {
		s.Queued(admission.Request{
			ID: id(uint64(i)), Queue: admission.Queue{Action: echo, Key: names[i%queues]}, Seq: uint64(i + 1),
			Policy: admission.Policy{Limit: 1}, Pool: "default", Attempt: 1, At: start,
		}, start)
	}
}

func TestAWaitingExecutionIsSmall(t *testing.T) {
	const n = 200_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := admission.New(0)
	fill(s, 1000, n)
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("%.0f bytes for each of %d waiting", each, n)
	if each > 256 {
		t.Errorf("%.0f bytes each, want at most 256", each)
	}
	runtime.KeepAlive(s)
}

// One step: an execution ends, the next is admitted and started, a new one is queued.
func BenchmarkStep(b *testing.B) {
	for _, queues := range []int{1, 1000, 10_000} {
		b.Run(strconv.Itoa(queues)+" queues", func(b *testing.B) { benchmarkStep(b, queues) })
	}
}

func benchmarkStep(b *testing.B, queues int) {
	b.Helper()
	const n = 200_000
	s := admission.New(0)
	fill(s, queues, n)
	var running []admission.Decision
	for {
		a, ok := s.Next(start)
		if !ok {
			break
		}
		s.Start(a.ID, 1, start)
		running = append(running, a)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		done := running[i%len(running)]
		s.End(done.ID, 1, start)
		s.Queued(admission.Request{ID: id(uint64(n + i)), Queue: done.Queue, Seq: uint64(n + i + 1), Policy: admission.Policy{Limit: 1}, Pool: "default", Attempt: 1, At: start}, start)
		next, ok := s.Next(start)
		if !ok || next.Queue != done.Queue {
			b.Fatal("nobody admitted")
		}
		s.Start(next.ID, 1, start)
		running[i%len(running)] = next
	}
}
