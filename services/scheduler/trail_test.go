package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// stock is a stream of messages as the trail believes it to be.
type stock map[uint64]bool // to whether the message may go

func (s stock) remove(t *testing.T, r removal) {
	t.Helper()
	for seq := range s {
		if seq < r.below {
			s.take(t, seq)
		}
	}
	for _, seq := range r.each {
		s.take(t, seq)
	}
}

func (s stock) take(t *testing.T, seq uint64) {
	t.Helper()
	may, there := s[seq]
	if !there {
		t.Errorf("message %d is removed twice", seq)
	}
	if !may {
		t.Errorf("message %d is removed and has to stay", seq)
	}
	delete(s, seq)
}

// Whatever ends in whatever order and whenever it is looked at: only that is removed which may go, each once,
// and in the end all of it.
func TestATrailRemovesWhatMayGoAndNothingElse(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		r, stream, now := newTrail(), stock{}, time.Now()
		var standing []uint64
		seq := uint64(0)
		for range 2000 {
			switch random.IntN(8) {
			case 0, 1, 2:
				seq += 1 + uint64(random.IntN(2)*random.IntN(5))
				r.saw(seq)
				stream[seq] = false
				standing = append(standing, seq)
			case 3, 4, 5, 6:
				if len(standing) == 0 {
					continue
				}
				i := min(int(random.ExpFloat64()*float64(1+random.IntN(20))), len(standing)-1)
				stream[standing[i]] = true
				r.put(standing[i])
				standing = slices.Delete(standing, i, i+1)
			case 7:
				now = now.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
				stream.remove(t, r.cut(now))
			}
		}
		for range 4 {
			now = now.Add(collectAtMost)
			stream.remove(t, r.cut(now))
		}
		for seq, may := range stream {
			if may {
				t.Fatalf("seed %d: message %d was not removed", seed, seq)
			}
		}
	}
}

func TestATrailPurgesWhatHasEndedInOrder(t *testing.T) {
	t.Parallel()
	r := newTrail()
	for seq := uint64(1); seq <= 1000; seq++ {
		r.saw(seq)
	}
	for seq := uint64(1); seq <= 500; seq++ {
		r.put(seq)
	}
	if got := r.cut(time.Now()); got.below != 501 || len(got.each) != 0 {
		t.Errorf("below %d and %v", got.below, got.each)
	}
}

// One that stays in front holds up purging, and memory stays bounded.
func TestATrailDeletesBehindOneWhoStays(t *testing.T) {
	t.Parallel()
	r, now, deleted := newTrail(), time.Now(), 0
	r.saw(1)
	for seq := uint64(2); seq < 50_000; seq++ {
		r.saw(seq)
		r.put(seq)
		if seq%1000 == 0 {
			now = now.Add(collectAtMost)
			got := r.cut(now)
			if got.below != 0 {
				t.Fatalf("purges below %d", got.below)
			}
			deleted += len(got.each)
		}
	}
	if deleted < 45_000 {
		t.Errorf("%d were deleted", deleted)
	}
	if n := len(r.steps); n > 10_000 {
		t.Errorf("%d steps are kept", n)
	}
	r.forget(2) // somebody else removed the first
	if got := r.cut(now.Add(collectAtMost)); got.below == 0 {
		t.Error("nothing is purged once the first has gone")
	}
}

func TestATrailWaitsForMoreAndRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newTrail()
		r.saw(1)
		r.saw(2)
		r.put(1)
		began := time.Now()
		got, err := r.take(t.Context())
		if err != nil || len(got.each) != 1 || time.Since(began) != collectFor {
			t.Errorf("%v after %v, %v", got, time.Since(began), err)
		}
		select {
		case <-r.more:
			t.Error("a token is left, though nothing may go")
		default:
		}
	})
}
