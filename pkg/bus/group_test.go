package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/streams"
)

// site is a server with a stream, and a connection to it.
type site struct {
	*Bus
	stream jetstream.Stream
}

func newSite(t *testing.T, batches bool) site {
	t.Helper()
	s, err := natsserver.Start(natsserver.Config{Dir: t.TempDir(), SyncSlow: true, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	b, err := Connect(t.Context(), Config{CredsFile: s.CredsFile(), Name: "test", InProcess: s.InProcess(), FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	stream, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "X", Subjects: []string{"x.>"}, AllowAtomicPublish: batches})
	if err != nil {
		t.Fatal(err)
	}
	return site{b, stream}
}

// crowd has parcels wait at once behind others, and gives what each of them was told.
func crowd(t *testing.T, g *Group, parcels ...[]*nats.Msg) []answer {
	t.Helper()
	g.mu.Lock()
	g.flights += groupFlights
	g.mu.Unlock()
	got := make([]answer, len(parcels))
	var all sync.WaitGroup
	for i, p := range parcels {
		all.Go(func() { got[i].sequence, got[i].err = g.Publish(t.Context(), p...) })
		g.awaits(i + 1)
	}
	for range groupFlights {
		g.landed()
	}
	all.Wait()
	return got
}

// awaits returns when so many parcels wait.
func (g *Group) awaits(n int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		g.mu.Lock()
		waiting := len(g.waiting)
		g.mu.Unlock()
		if waiting >= n {
			return
		}
		<-tick.C
	}
}

// once is a message whose subject must not have one yet.
func once(subject any) *nats.Msg {
	m := nats.NewMsg(fmt.Sprint("x.", subject))
	m.Data = fmt.Append(nil, "content of ", subject)
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	return m
}

func parcels(n int) (all [][]*nats.Msg) {
	for i := range n {
		all = append(all, []*nats.Msg{once(i)})
	}
	return all
}

// batched counts the messages that came in batches.
func (s site) batched(t *testing.T) (n int) {
	t.Helper()
	info, err := s.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := range info.State.LastSeq {
		m, err := s.stream.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get(headerBatchID) != "" {
			n++
		}
	}
	return n
}

// check compares what everybody was told with what is stored.
func (s site) check(t *testing.T, got []answer) {
	t.Helper()
	for i, a := range got {
		m, err := s.stream.GetMsg(t.Context(), a.sequence)
		if a.err != nil || err != nil || m.Subject != fmt.Sprint("x.", i) {
			t.Errorf("%d at %d: %+v, %v, %v", i, a.sequence, m, a.err, err)
		}
	}
}

func TestWhatComesTogetherIsStoredTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		come, batched int
	}{
		{"too few for a batch", firstWorth / 2, 0}, {"a batch", 2 * firstWorth, 2 * firstWorth}, {"more than one takes", MaxBatch + 2*firstWorth, MaxBatch + 2*firstWorth},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, true)
			g := s.NewGroup()
			g.pace.one, g.pace.many = time.Hour, firstWorth*time.Hour // nothing that is measured here changes it
			s.check(t, crowd(t, g, parcels(c.come)...))
			if got := s.batched(t); got != c.batched {
				t.Errorf("%d messages came in batches, want %d", got, c.batched)
			}
		})
	}
}

func TestWhatComesDuringAPublishGoesTogetherAfterIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	g := s.NewGroup()
	g.pace.one = time.Hour // nothing that is measured here changes it
	g.flights = 1
	got := make([]answer, 3)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i].sequence, got[i].err = g.Publish(t.Context(), once(i)) })
		g.awaits(i + 1)
	}
	g.landed()
	all.Wait()
	s.check(t, got)
	if n := s.batched(t); n != len(got) {
		t.Errorf("%d messages came in batches", n)
	}
}

func TestEverybodyHearsOfHisOwnMessageWhenABatchIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	taken := 7
	if _, err := s.JS.PublishMsg(t.Context(), once(taken)); err != nil {
		t.Fatal(err)
	}
	got := crowd(t, s.NewGroup(), parcels(2*firstWorth)...)
	if err := got[taken].err; !streams.IsStale(err) {
		t.Errorf("whose message was there: %v", err)
	}
	got[taken] = answer{sequence: 1}
	s.check(t, got)
}

func TestAParcelIsStoredInOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	for name, fast := range map[string]time.Duration{"singly": time.Hour, "batch": time.Nanosecond} {
		g := s.NewGroup()
		g.pace.many = fast
		last, err := g.Publish(t.Context(), once(name+"1"), once(name+"2"), once(name+"3"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			m, err := s.stream.GetMsg(t.Context(), last-uint64(2-i))
			if err != nil || m.Subject != "x."+name+strconv.Itoa(i+1) {
				t.Errorf("%s: message %d: %+v, %v", name, i, m, err)
			}
		}
	}
}

func TestAStreamWithoutBatchesIsAskedOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	g := s.NewGroup()
	s.check(t, crowd(t, g, parcels(2*firstWorth)...))
	if g.Pays(MaxBatch) {
		t.Error("a batch would be tried again")
	}
}

func TestWhoGivesUpWaitingIsToldAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	g := newSite(t, true).NewGroup()
	g.flights = groupFlights
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(nats.ErrTimeout)
	if _, err := g.Publish(gone, once("a")); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	g.landed()
	g.landed()
	if _, err := g.Publish(t.Context(), once("b")); err != nil {
		t.Error(err)
	}
}

func TestABatchPaysByWhatWasMeasured(t *testing.T) {
	t.Parallel()
	p := newPace()
	if p.pays(1) || p.pays(firstWorth-1) || !p.pays(firstWorth+1) {
		t.Errorf("before anything was measured: %+v", p)
	}
	for range 20 {
		p.took(1, time.Millisecond)
		p.took(100, time.Millisecond)
	}
	if !p.pays(2) {
		t.Errorf("a server that stages in memory: %+v", p)
	}
	if got := p.flights(); got != 1 {
		t.Errorf("%d publishes at once: %+v", got, p)
	}
	p.took(2, time.Minute) // the disk was away
	if got := p.flights(); got != groupFlights {
		t.Errorf("%d publishes at once after a minute: %+v", got, p)
	}
	if p.pays(MaxBatch) {
		t.Errorf("after a minute: %+v", p)
	}
	tries := 0
	for ; !p.pays(firstWorth); tries++ {
		if tries > 100*forgets {
			t.Fatalf("it is held against batches for ever: %+v", p)
		}
	}
	if tries < forgets {
		t.Errorf("forgotten after %d", tries)
	}
}
