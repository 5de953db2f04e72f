package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func TestRecordedEventsAreSuppressedAsOncePerWouldHave(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	event := func(id, key string, after time.Duration, o streams.Outcome) tested {
		return tested{Event: id, key: key, receivedAt: start.Add(after), Outcome: o}
	}
	results := []tested{ // newest first, as the API lists them
		event("h", "web1", 25*time.Minute, streams.Matched),
		event("g", "web2", 12*time.Minute, streams.Matched),
		event("f", "web1", 10*time.Minute, streams.Matched),
		event("e", "web2", 5*time.Minute, streams.Matched),
		event("d", "web1", 10*time.Minute-1, streams.Matched),
		event("c", "web1", time.Minute, streams.NotMatched),
		event("b", "web1", 0, streams.Matched),
		event("a", "web1", -time.Minute, streams.Errored),
	}
	n := suppress(results, pack.OncePer{Key: "event.payload.host", Window: pack.Duration(10 * time.Minute)})
	var through, held []string
	for _, r := range results {
		switch r.Outcome {
		case streams.Matched:
			through = append(through, r.Event)
		case streams.Suppressed:
			held = append(held, r.Event+" "+r.Reason)
		case streams.NotMatched, streams.Errored:
		}
	}
	if got := strings.Join(through, " "); n != 2 || got != "h f e b" {
		t.Errorf("%d suppressed, through go %s", n, got)
	}
	want := `g once per 10m for "web2": event e at 2026-01-31T12:05:00.000Z; d once per 10m for "web1": event b at 2026-01-31T12:00:00.000Z`
	if got := strings.Join(held, "; "); got != want {
		t.Errorf("suppressed:\n%s, want\n%s", got, want)
	}
}
