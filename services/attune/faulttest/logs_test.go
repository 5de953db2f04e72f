package faulttest

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/failpoint"
)

// printed is how many lines the action fault.print prints: nine segments.
const printed = 100_000

// segment is the size of its segments.
const segment = 64 << 10

// numbers is what fault.print prints.
func numbers() []byte {
	var all []byte
	for n := range printed {
		all = append(strconv.AppendInt(all, int64(n+1), 10), '\n')
	}
	return all
}

// log reads what there is of a log.
func (c *cluster) log(id string) []byte {
	c.t.Helper()
	text, err := insist(c.t, func() ([]byte, error) {
		var out bytes.Buffer
		_, err := c.client.Logs(c.t.Context(), client.Log{Execution: id, Stream: "stdout"}, &out)
		return out.Bytes(), err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// A runner is killed while it stores a log, then the recorder while it completes what the runner left: what was stored
// is served, and nothing that was not printed; the log says that it may end too early.
func TestALogSurvivesThoseWhoStoreIt(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 1})
	places := []struct {
		place  failpoint.Name
		hit    int
		stored int // segments that are safe then, at least
	}{
		{failpoint.LogsCut, 3, 2}, {failpoint.LogsChunked, 3, 2}, {failpoint.LogsStored, 3, 3}, {failpoint.LogsUnmanifest, 1, 10},
	}
	ids := make([]string, len(places))
	for i, p := range places {
		c.runners[0].stop(t)
		c.runners[0].start(t, string(p.place)+"=kill@"+strconv.Itoa(p.hit))
		x, err := insist(t, func() (api.ExecutionAccepted, error) {
			return c.client.Run(t.Context(), api.ExecutionRequest{Action: "fault.print"}, "print-"+string(p.place))
		})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = x.ID
		<-c.runners[0].now().Ended()
		c.runners[0].start(t, "")
		if n := c.fired(p.place); n != 1 {
			t.Errorf("%s fired %d times", p.place, n)
		}
	}
	c.recorder.kill()
	c.recorder.start(t, string(failpoint.LogsChunked)+"=kill@1")
	plans := make(chan string, 1)
	plans <- string(failpoint.LogsUncompleted) + "=kill@1"
	c.recorder.keep(t, func() string {
		select {
		case plan := <-plans:
			return plan
		default:
			return ""
		}
	})
	all, mark := numbers(), []byte("[attune: the log may end too early: its runner was lost before all of it was stored]\n")
	for i, p := range places {
		var text []byte
		whole := p.place == failpoint.LogsUnmanifest
		eventually(t, patience, "the log is completed of an execution whose runner was killed at "+string(p.place), func() bool {
			x, err := c.client.Execution(t.Context(), ids[i])
			text = c.log(ids[i])
			return err == nil && x.Status == "lost" && (bytes.HasSuffix(text, mark) || whole && !x.Incomplete)
		})
		kept := bytes.TrimSuffix(text, mark)
		if !whole {
			kept = bytes.TrimSuffix(kept, []byte("\n"))
		}
		if !bytes.HasPrefix(all, kept) || len(kept) < min(p.stored*segment, len(all)) || whole && len(kept) != len(all) {
			t.Errorf("killed at %s: %d bytes of %d are kept, ending with %q", p.place, len(kept), len(all), kept[max(0, len(kept)-30):])
		}
	}
	if a, b := c.fired(failpoint.LogsChunked), c.fired(failpoint.LogsUncompleted); a != 2 || b != 1 {
		t.Errorf("the recorder was killed %d and %d times", a-1, b)
	}
}
