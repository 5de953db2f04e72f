package execution_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// value is what the register of one execution holds: its status and attempt, and which write put it there.
type value struct {
	status  execution.Status
	attempt int
	tag     string
}

// valueOf reads the write's tag from a fact: whoever wrote it named itself in By or, where a next attempt is
// requested, in what the fact says of the attempt before.
func valueOf(f execution.Fact) value {
	v := value{status: f.Status, attempt: f.Attempt, tag: f.By}
	if v.tag == "" && len(f.Previous) > 0 {
		v.tag = "after " + f.Previous[len(f.Previous)-1].Runner
	}
	return v
}

// asked is an operation on an execution.
type asked struct {
	id   string
	kind string // read, swap (a claim or an end), cancel
	was  value  // swap: what it was based on
	to   value  // swap: what it puts there; cancel: only the tag
}

// answered is what became of it.
type answered struct {
	got     value // read, cancel: what was there afterwards
	stale   bool  // swap: somebody else was first
	unknown bool  // no answer came: it happened, will happen or never will
}

// register is the state table as a compare-and-set register, one for each execution.
var register = porcupine.Model{
	Init: func() any { return value{streams.Requested, 1, ""} },
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, o := range history {
			id := o.Input.(asked).id
			by[id] = append(by[id], o)
		}
		var parts [][]porcupine.Operation
		for _, p := range by {
			parts = append(parts, p)
		}
		return parts
	},
	Step: func(state, input, output any) (bool, any) {
		return step(state.(value), input.(asked), output.(answered))
	},
}

// step applies an operation. One without an answer is taken for done where it can be: its place may be after
// everything that was observed.
func step(now value, in asked, out answered) (bool, value) {
	next := now
	switch {
	case in.kind == "swap" && now == in.was:
		next = in.to
	case in.kind == "cancel" && now.status == streams.Requested:
		next = value{streams.Canceled, now.attempt, in.to.tag}
	case in.kind == "cancel" && now.status == streams.Running:
		next = value{streams.Canceling, now.attempt, in.to.tag}
	}
	switch {
	case out.unknown:
		return true, next
	case in.kind == "swap":
		possible := now == in.was && execution.MayFollow(now.status, in.to.status)
		return possible != out.stale, next
	}
	return out.got == next, next
}

// clientele is clients that work on the same executions at once, and their history.
type clientele struct {
	t     *testing.T
	facts *execution.Facts
	began time.Time
	tags  atomic.Int64

	mu      sync.Mutex // guards history
	history []porcupine.Operation
}

const maxAttempts = 3

func TestConcurrentChangesAreThoseOfARegisterThoughAnswersGetLost(t *testing.T) {
	t.Parallel()
	c := &clientele{t: t, facts: execution.NewFacts(natstest.New(t).JS), began: time.Now()}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range 20 {
		var ids []string
		for n := range 3 {
			r := request(fmt.Sprintf("r%d-%d", round, n))
			r.Retry = &streams.Retry{Attempts: maxAttempts, On: []streams.Status{streams.Failed}}
			if _, err := c.facts.Request(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.ID)
		}
		var clients sync.WaitGroup
		for n := range 6 {
			chance := rand.New(rand.NewPCG(seed, uint64(round*100+n)))
			clients.Go(func() { c.work(n, ids, chance) })
		}
		clients.Wait()
	}
	unknown, landed := c.lost()
	t.Logf("%d operations, %d without an answer, %d of them seen to have happened", len(c.history), unknown, landed)
	if unknown == landed || landed == 0 {
		t.Error("lost answers are all of one kind, which proves too little")
	}
	if result := porcupine.CheckOperationsTimeout(register, c.history, time.Minute); result != porcupine.Ok {
		t.Errorf("the history is %v of a register", result)
	}
}

// lost counts the operations without an answer, and those of them whose effect was read later.
func (c *clientele) lost() (unknown, landed int) {
	read := map[value]bool{}
	for _, o := range c.history {
		read[o.Output.(answered).got] = true
	}
	for _, o := range c.history {
		in := o.Input.(asked)
		if !o.Output.(answered).unknown {
			continue
		}
		unknown++
		if in.kind == "swap" && read[in.to] {
			landed++
		}
	}
	return unknown, landed
}

// work does some operations, about a third of them with too little time for the answer. Whether such a one happens
// is up to the machine; of some others the answer is forgotten.
func (c *clientele) work(client int, ids []string, chance *rand.Rand) {
	for range 15 {
		id := ids[chance.IntN(len(ids))]
		ctx, cancel := c.t.Context(), func() {}
		if chance.IntN(3) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(20+chance.IntN(400))*time.Microsecond)
		}
		if chance.IntN(4) == 0 {
			c.cancel(ctx, client, id)
		} else {
			c.moveOn(ctx, client, id, chance)
		}
		cancel()
	}
}

func (c *clientele) tag() string { return fmt.Sprintf("op%d", c.tags.Add(1)) }

func (c *clientele) now() int64 { return int64(time.Since(c.began)) }

// note keeps an operation. One without an answer has no end.
func (c *clientele) note(client int, in asked, out answered, call int64) {
	end := c.now()
	if out.unknown {
		end = math.MaxInt64
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
}

func (c *clientele) cancel(ctx context.Context, client int, id string) {
	in := asked{id: id, kind: "cancel", to: value{tag: c.tag()}}
	call := c.now()
	st, err := c.facts.Cancel(ctx, "core.echo", id, in.to.tag)
	c.note(client, in, answered{got: valueOf(st.Fact), unknown: err != nil}, call)
}

// moveOn reads an execution and takes it to its next state, on the ground of what it read.
func (c *clientele) moveOn(ctx context.Context, client int, id string, chance *rand.Rand) {
	call := c.now()
	st, err := c.facts.Last(ctx, "core.echo", id)
	if err != nil {
		return // nothing was learnt and nothing changed
	}
	c.note(client, asked{id: id, kind: "read"}, answered{got: valueOf(st.Fact)}, call)
	in := asked{id: id, kind: "swap", was: valueOf(st.Fact)}
	call = c.now()
	switch st.Status {
	case streams.Requested:
		to := st.Fact
		to.Status, to.By, to.Runner, to.At = streams.Running, c.tag(), "", time.Now().UTC()
		to.Runner = to.By
		in.to = valueOf(to)
		_, err = c.facts.Append(ctx, st, to)
	case streams.Running, streams.Canceling:
		end := st.Fact
		end.Status, end.By, end.At = streams.Failed, c.tag(), time.Now().UTC()
		if chance.IntN(3) == 0 {
			end.Status = streams.Succeeded
		}
		in.to = afterEnd(st, end)
		_, err = c.facts.EndAttempt(ctx, st, end)
	default:
		return
	}
	stale := errors.Is(err, execution.ErrStale)
	if chance.IntN(8) == 0 { // the answer came and got lost on the client's side
		c.note(client, in, answered{unknown: true}, call)
		return
	}
	c.note(client, in, answered{stale: stale, unknown: err != nil && !stale}, call)
}

// afterEnd restates what the policy makes of an end.
func afterEnd(st execution.State, end execution.Fact) value {
	if st.Status == streams.Running && end.Status == streams.Failed && end.Attempt < maxAttempts {
		return value{streams.Requested, end.Attempt + 1, "after " + st.Runner}
	}
	return valueOf(end)
}

// What the register must not accept: the check would prove nothing if it did.
func TestTheRegisterRefusesWhatMustNotHappen(t *testing.T) {
	t.Parallel()
	requested, first, second := value{streams.Requested, 1, ""}, value{streams.Running, 1, "a"}, value{streams.Running, 1, "b"}
	claim := func(to value) asked { return asked{id: "x", kind: "swap", was: requested, to: to} }
	read := asked{id: "x", kind: "read"}
	op := func(in asked, out answered, from, to int64) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: from, Return: to}
	}
	for name, history := range map[string][]porcupine.Operation{
		"two claims win":                    {op(claim(first), answered{}, 0, 10), op(claim(second), answered{}, 5, 15)},
		"a claim that won is not there":     {op(claim(first), answered{}, 0, 10), op(read, answered{got: requested}, 11, 12)},
		"a refused claim is there":          {op(claim(first), answered{stale: true}, 0, 10), op(read, answered{got: first}, 11, 12)},
		"a claim is refused for no reason":  {op(claim(first), answered{stale: true}, 0, 10)},
		"a lost claim comes and goes":       {op(claim(first), answered{unknown: true}, 0, math.MaxInt64), op(read, answered{got: first}, 11, 12), op(read, answered{got: requested}, 13, 14)},
		"an end follows without a claim":    {op(asked{id: "x", kind: "swap", was: requested, to: value{streams.Succeeded, 1, "a"}}, answered{}, 0, 10)},
		"a canceled one is claimed anyhow":  {op(asked{id: "x", kind: "cancel", to: value{tag: "c"}}, answered{got: value{streams.Canceled, 1, "c"}}, 0, 1), op(claim(first), answered{}, 2, 3)},
		"a cancel answers what never stood": {op(asked{id: "x", kind: "cancel", to: value{tag: "c"}}, answered{got: value{streams.Canceling, 1, "c"}}, 0, 1)},
	} {
		if porcupine.CheckOperations(register, history) {
			t.Errorf("accepted: %s", name)
		}
	}
}
