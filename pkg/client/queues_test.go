package client_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

// said is a request as it arrived.
type said struct{ Method, Path, Body string }

func hear(t *testing.T, r *http.Request) said {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return said{r.Method, r.URL.EscapedPath(), string(body)}
}

func TestWhatOperatorsSayOfQueues(t *testing.T) {
	t.Parallel()
	heard := make(chan said, 1)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		heard <- hear(t, r)
		replyJSON(w, api.QueueStats{Action: "core", Paused: true})
	})
	ctx, five := t.Context(), 5
	for _, s := range []struct {
		say  func() (api.QueueStats, error)
		want said
	}{
		{func() (api.QueueStats, error) { return c.PauseQueues(ctx, "core.sleep", 0) }, said{"POST", "/api/v1/queues/core.sleep/pause", `{}`}},
		{func() (api.QueueStats, error) { return c.PauseQueues(ctx, "core", 2*time.Hour) }, said{"POST", "/api/v1/queues/core/pause", `{"for":"2h0m0s"}`}},
		{func() (api.QueueStats, error) { return c.ResumeQueues(ctx, api.ScopeAll) }, said{"POST", "/api/v1/queues/_all/resume", ""}},
		{func() (api.QueueStats, error) { return c.DrainQueues(ctx, "a b") }, said{"POST", "/api/v1/queues/a%20b/drain", ""}},
		{func() (api.QueueStats, error) { return c.LimitQueues(ctx, "core", &five) }, said{"POST", "/api/v1/queues/core/limit", `{"limit":5}`}},
		{func() (api.QueueStats, error) { return c.LimitQueues(ctx, "core", nil) }, said{"POST", "/api/v1/queues/core/limit", `{"limit":null}`}},
	} {
		q, err := s.say()
		if err != nil || !q.Paused {
			t.Errorf("%s: %+v, %v", s.want.Path, q, err)
		}
		if diff := cmp.Diff(s.want, <-heard); diff != "" {
			t.Error(diff)
		}
	}
}

func TestARefusalSaysHowTheQueueStands(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusConflict, "application/problem+json",
			`{"status":409,"code":"queue_full","detail":"full","execution":"x","queue":{"action":"core.sleep","running":2,"limit":2}}`)
	})
	_, err := c.Run(t.Context(), api.ExecutionRequest{Action: "core.sleep"}, "k")
	var p *client.Problem
	if !errors.As(err, &p) || p.Code != api.CodeQueueFull || p.Execution != "x" || p.Queue == nil || p.Queue.Running != 2 {
		t.Errorf("got %#v", err)
	}
}

// Canceling many takes several calls, each of which goes on where the one before stopped.
func TestCancelingManyGoesOnUntilAllAreDone(t *testing.T) {
	t.Parallel()
	steps := map[string]api.CancelResult{
		"":  {Matched: 5, Canceled: 2, Remaining: 3, NextCursor: "a"},
		"a": {Matched: 3, Canceled: 1, Remaining: 1, NextCursor: "b"},
		"b": {Matched: 1, Canceled: 1},
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var in api.CancelRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Action != "core.sleep" || in.Statuses[0] != streams.Requested {
			t.Errorf("%+v, %v", in, err)
		}
		replyJSON(w, steps[in.Cursor])
	})
	want := api.CancelRequest{Action: "core.sleep", Statuses: []streams.Status{streams.Requested}}
	var seen []int
	got, err := c.CancelAllMatching(t.Context(), want, func(r api.CancelResult) { seen = append(seen, r.Remaining) })
	if diff := cmp.Diff(api.CancelResult{Matched: 5, Canceled: 4}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if diff := cmp.Diff([]int{3, 1, 0}, seen); diff != "" {
		t.Error(diff)
	}
	want.DryRun = true
	if got, err := c.CancelAllMatching(t.Context(), want, nil); err != nil || got != steps[""] {
		t.Errorf("only counted: %+v, %v", got, err)
	}
}
