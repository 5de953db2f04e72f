package scheduler

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

func TestQuestionsAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.awaitLeader(w.schedule("s1"))
	w.run("r1", 8, g.wait)
	ids := w.requestMany(4, "core.echo", 2)
	w.awaitStatus(ids[1], streams.Running)
	var pos streams.Position
	w.ask(streams.RPCQueuePosition, streams.PositionRequest{ID: ids[3]}, &pos)
	if pos.Position != 2 || !pos.Known {
		t.Errorf("position %+v, want 2", pos)
	}
	var list streams.QueueList
	w.ask(streams.RPCQueueList, struct{}{}, &list)
	if len(list.Queues) != 1 || list.Queues[0].Waiting != 2 || list.Queues[0].Running != 2 || list.Queues[0].Limit != 2 {
		t.Errorf("list %+v", list)
	}
	w.pageThroughQueues()
	var view streams.QueueView
	w.ask(streams.RPCQueueShow, streams.QueueRequest{Action: "core.echo", Offset: 1, Limit: 2}, &view)
	if got := idsOf(view.Entries); !slices.Equal(got, ids[1:3]) || view.Entries[1].Position != 1 {
		t.Errorf("part of the line %+v", view.Entries)
	}
	w.ask(streams.RPCQueueShow, streams.QueueRequest{Action: "not an action"}, &view)
	if view.Error == "" {
		t.Error("a question about nonsense was answered")
	}
}

// pageThroughQueues makes queues with keys that are long, and one that is only paused, and reads the list in pages.
func (w *world) pageThroughQueues() {
	w.t.Helper()
	w.control("disk.paused", `{"v":1,"paused":true}`)
	for i := range 120 {
		w.request("core.long", strings.Repeat("k", 16<<10)+strconv.Itoa(i), 1)
	}
	var all []streams.QueueStats
	eventually(w.t, "all queues", func() bool {
		all = nil
		for more, r := true, (streams.QueueListRequest{Limit: 500}); more; {
			var page streams.QueueList
			w.ask(streams.RPCQueueList, r, &page)
			all, more = append(all, page.Queues...), page.More
			r.AfterAction, r.AfterKey = all[len(all)-1].Action, all[len(all)-1].Key
		}
		return len(all) == 122
	})
	if last := all[121]; last.Action != "disk.paused" || !last.Paused {
		w.t.Errorf("the last is %s", last.Action)
	}
}

// A position may be asked for before the leader has read the message; it waits for it, but not for ever.
func TestAPositionIsAnsweredWhenTheMessageHasBeenRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.awaitLeader(w.schedule("s1"))
	w.request("core.echo", "", 1)
	var wg sync.WaitGroup
	for range 50 {
		id := execution.NewID()
		r, err := w.facts.Request(t.Context(), execution.Request{ID: id, Action: "core.echo", Pool: "default", Limit: 1, Parameters: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			var p streams.Position
			w.ask(streams.RPCQueuePosition, streams.PositionRequest{ID: id, After: r.QueueSeq}, &p)
			if !p.Known || p.Position == 0 {
				t.Errorf("position %+v", p)
			}
		})
	}
	wg.Wait()
	var p streams.Position
	w.ask(streams.RPCQueuePosition, streams.PositionRequest{ID: execution.NewID(), After: 1 << 40}, &p)
	if p.Known {
		t.Errorf("position %+v of nobody", p)
	}
}
