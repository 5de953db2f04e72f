package logs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// crowd has so many small objects wait at once behind others, and gives what each of them was told.
func crowd(t *testing.T, c *committer, n int) []error {
	t.Helper()
	c.mu.Lock()
	c.flights += singly
	c.mu.Unlock()
	got := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { got[i] = c.put(t.Context(), fmt.Sprint("x", i), fmt.Append(nil, "content of ", i)) })
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.waits() < n {
		<-tick.C
	}
	c.landed(singly)
	all.Wait()
	return got
}

// waits counts who waits.
func (c *committer) waits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// batched counts the messages of a bucket that came in batches.
func batched(t *testing.T, b *bus.Bus) (n int) {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), "OBJ_"+streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range s.CachedInfo().State.LastSeq {
		m, err := s.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Nats-Batch-Id") != "" {
			n++
		}
	}
	return n
}

func committerOf(t *testing.T, b *bus.Bus) *committer {
	t.Helper()
	s, err := Open(t.Context(), Config{Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	return s.small
}

func TestSmallObjectsThatComeTogetherAreStoredTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		come, batched int
	}{
		{"too few for a batch", worthBatch - 1, 0}, {"a batch", worthBatch, 2 * worthBatch}, {"more than one batch takes", bus.MaxBatch/2 + worthBatch, bus.MaxBatch + 2*worthBatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := natstest.New(t)
			for i, err := range crowd(t, committerOf(t, b), c.come) {
				if err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
			objects, err := b.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.come {
				got, err := objects.GetString(t.Context(), fmt.Sprint("x", i))
				if want := fmt.Sprint("content of ", i); err != nil || got != want {
					t.Errorf("%q, %v, want %q", got, err, want)
				}
			}
			if got := batched(t, b); got != c.batched {
				t.Errorf("%d messages came in batches, want %d", got, c.batched)
			}
		})
	}
}

// An installation whose bucket takes no batches stores as before; one that forbids them later does after one refusal.
func TestABucketWithoutBatchesStoresOneByOne(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	late := committerOf(t, b)
	s, err := b.JS.Stream(t.Context(), "OBJ_"+streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.AllowAtomicPublish = false
	if _, err := b.JS.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := errors.Join(crowd(t, committerOf(t, b), 2*worthBatch)...); got != nil {
		t.Error(got)
	}
	for _, err := range crowd(t, late, worthBatch) {
		if refused, ok := errors.AsType[*jetstream.APIError](err); !ok || refused.ErrorCode != 10174 {
			t.Errorf("a batch that is not allowed: %v", err)
		}
	}
	if got := errors.Join(crowd(t, late, worthBatch)...); got != nil {
		t.Errorf("after the refusal: %v", got)
	}
}

func TestWhoGivesUpWaitingIsToldAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	c := committerOf(t, natstest.New(t))
	c.flights = singly
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(nats.ErrTimeout)
	if err := c.put(gone, "a", []byte("x")); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	c.landed(singly)
	if err := c.put(t.Context(), "b", []byte("x")); err != nil {
		t.Error(err)
	}
}
