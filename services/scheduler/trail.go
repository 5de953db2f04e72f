package scheduler

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/attune/attune/pkg/lifecycle"
)

const (
	// collectFor is how long ended executions are collected before their messages are removed, and collectAtMost
	// how long they may be, for the chance that those before them end too. Nobody waits for it.
	collectFor    = 250 * time.Millisecond
	collectAtMost = 5 * time.Second
	// purgeFrom is from how many on a purge costs less than deleting each.
	purgeFrom = 16
	// A purge has the server write an index of everything that stays. One in purgeShare of what stays makes that
	// worth while, and one in purgeShareAtLast when they were collected for long.
	purgeShare       = 16
	purgeShareAtLast = 256
	// compactFrom is from how many steps without a message on they are taken out.
	compactFrom = 1024
)

// Marks on a sequence in a trail: it may go, and it is being deleted already.
const (
	over  = 1 << 63
	gone  = 1 << 62
	marks = over | gone
)

// trail knows in order which messages of QUEUE were read and have to stay, and which may go. Most executions end
// roughly in the order of their requests, so nearly all can go by purging the stream up to the first that has to
// stay, which costs the server about as much as deleting ten.
type trail struct {
	more chan struct{} // holds a token while something may go

	mu     sync.Mutex // guards the fields below
	steps  []uint64   // sequences in ascending order, some marked as over
	next   uint64     // the sequence after the last that was read
	front  int        // how many at the beginning of steps are over
	behind []uint64   // over since this round of collecting, with somebody before them who stays
	older  []uint64   // over since the round before
	gaps   int        // how many steps were given at most for deletion
	round  time.Time  // when this round began
}

// removal is what is to be removed.
type removal struct {
	below uint64   // all messages below this sequence; 0: none
	each  []uint64 // and these
}

func newTrail() *trail { return &trail{more: make(chan struct{}, 1)} }

// saw records a message that was read.
func (r *trail) saw(seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq >= r.next {
		r.steps = append(r.steps, seq)
		r.next = seq + 1
	}
}

// put says that messages may go.
func (r *trail) put(seqs ...uint64) {
	r.mu.Lock()
	for _, seq := range seqs {
		r.mark(seq)
	}
	r.mu.Unlock()
	r.wake()
}

func (r *trail) mark(seq uint64) {
	i, ok := r.find(seq)
	if !ok || r.steps[i]&over != 0 {
		return
	}
	r.steps[i] |= over
	if i != r.front {
		r.behind = append(r.behind, seq)
		return
	}
	r.advance()
}

func (r *trail) advance() {
	for r.front < len(r.steps) && r.steps[r.front]&over != 0 {
		r.front++
	}
}

func (r *trail) find(seq uint64) (int, bool) {
	i := sort.Search(len(r.steps), func(i int) bool { return r.steps[i]&^marks >= seq })
	return i, i < len(r.steps) && r.steps[i]&^marks == seq
}

func (r *trail) wake() {
	select {
	case r.more <- struct{}{}:
	default: // a token is there already
	}
}

// take waits for something to remove.
func (r *trail) take(ctx context.Context) (removal, error) {
	for {
		select {
		case <-ctx.Done():
			return removal{}, context.Cause(ctx)
		case <-r.more:
		}
		lifecycle.Pause(ctx, collectFor)
		if out := r.cut(time.Now()); out.below != 0 || len(out.each) > 0 {
			return out, nil
		}
	}
}

// cut decides what to remove now.
func (r *trail) cut(now time.Time) removal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.round.IsZero() {
		r.round = now
	}
	atLast := now.Sub(r.round) >= collectAtMost
	out := r.cutFront(atLast)
	r.cutBehind(&out, atLast)
	if atLast {
		r.round = now
	}
	if r.front > 0 || len(r.behind)+len(r.older) > 0 {
		r.wake()
	} else {
		r.round = time.Time{}
	}
	return out
}

// cutFront takes those before whom nobody stays.
func (r *trail) cutFront(atLast bool) (out removal) {
	stay := len(r.steps) - r.front
	switch {
	case r.front == 0:
		return out
	case r.front >= purgeFrom && (r.front*purgeShare >= stay || atLast && r.front*purgeShareAtLast >= stay):
		out.below = r.steps[r.front-1]&^marks + 1
	case r.front < purgeFrom || atLast:
		for _, s := range r.steps[:r.front] {
			if s&gone == 0 {
				out.each = append(out.each, s&^marks)
			}
		}
	default:
		return out
	}
	r.drop(r.front)
	return out
}

func (r *trail) drop(n int) {
	r.steps = r.steps[n:]
	r.front = 0
}

// cutBehind takes those behind somebody who stays, when they are few or when that has been so for long.
func (r *trail) cutBehind(out *removal, atLast bool) {
	first := r.next
	if len(r.steps) > r.front {
		first = r.steps[r.front] &^ marks
	}
	passed := func(seq uint64) bool { return seq < first } // they belong to the front now, or are gone with it
	r.behind, r.older = slices.DeleteFunc(r.behind, passed), slices.DeleteFunc(r.older, passed)
	switch {
	case len(r.behind)+len(r.older) < purgeFrom:
		r.give(out, r.older)
		r.give(out, r.behind)
		r.older, r.behind = nil, nil
	case atLast:
		r.give(out, r.older)
		r.older, r.behind = r.behind, nil
	}
}

// give hands out messages to be deleted. Their steps stay until those before them have gone, or until most are
// of this kind.
func (r *trail) give(out *removal, seqs []uint64) {
	for _, seq := range seqs {
		if i, ok := r.find(seq); ok {
			r.steps[i] |= gone
		}
	}
	out.each = append(out.each, seqs...)
	if r.gaps += len(seqs); r.gaps > len(r.steps)/2 && r.gaps > compactFrom {
		r.steps = slices.DeleteFunc(r.steps, func(s uint64) bool { return s&gone != 0 })
		r.gaps, r.front = 0, 0
		r.advance()
	}
}

// forget drops what the stream does not have any longer, whoever removed it.
func (r *trail) forget(below uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := sort.Search(len(r.steps), func(i int) bool { return r.steps[i]&^marks >= below })
	if n == 0 {
		return
	}
	r.drop(n)
	r.advance()
}
