package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func (s *Server) routeQueues(a huma.API) {
	const tag = "Queues"
	register(s, a, op(http.MethodGet, "/queues", "list-queues", tag, "List the lines that have work or are paused"), s.listQueues)
	register(s, a, op(http.MethodGet, "/queues/{ref}", "show-queue", tag, "Show an action's line in order",
		http.StatusNotFound), s.showQueue)
	register(s, a, op(http.MethodPost, "/queues/{ref}/pause", "pause-queue", tag, "Let nobody more of an action's line start",
		http.StatusNotFound), s.pauseQueue)
	register(s, a, op(http.MethodPost, "/queues/{ref}/resume", "resume-queue", tag, "Let an action's line go on",
		http.StatusNotFound), s.resumeQueue)
	register(s, a, op(http.MethodGet, "/actions/{ref}/queue-stats", "show-queue-stats", tag, "Say how an action's line stands, all keys together",
		http.StatusNotFound), s.queueStats)
}

func (s *Server) listQueues(ctx context.Context, in *Paging) (*reply[wire.Page[wire.QueueStats]], error) {
	list, err := ask[streams.QueueList](ctx, s, streams.RPCQueueList, nothing{})
	if err != nil {
		return nil, err
	}
	return pageOf(list.Queues, *in, func(q wire.QueueStats) string { return q.Action + "\x00" + q.Key })
}

// ByRef names a definition in the path.
type ByRef struct {
	Ref string `path:"ref" doc:"As PACK.NAME"`
}

type queueInput struct {
	ByRef
	Paging
	Key string `query:"key" maxLength:"1024" doc:"The concurrency key, for actions that have one"`
}

func (s *Server) showQueue(ctx context.Context, in *queueInput) (*reply[wire.Queue], error) {
	offset, err := offsetOf(in.Cursor)
	if err != nil {
		return nil, err
	}
	if _, err := pack.ParseRef(in.Ref); err != nil {
		return nil, notFound("queue", in.Ref)
	}
	found, err := ask[streams.QueueView](ctx, s, streams.RPCQueueShow,
		streams.QueueRequest{Action: in.Ref, Key: in.Key, Offset: offset, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	if found.Error != "" {
		return nil, fmt.Errorf("queue %s: %s: %w", in.Ref, found.Error, errScheduler)
	}
	if found.Waiting+found.Running == 0 { // without work a queue is only as real as its action
		if _, err := s.defs.action(in.Ref); err != nil {
			return nil, err
		}
	}
	out := wire.Queue{QueueStats: found.QueueStats, Entries: found.Entries[:min(len(found.Entries), in.Limit)]}
	if out.Entries == nil {
		out.Entries = []wire.QueueEntry{}
	}
	if len(found.Entries) > in.Limit {
		out.NextCursor = strconv.Itoa(offset + in.Limit)
	}
	return answer(out), nil
}

// offsetOf reads the cursor of a line, which is how many of it were shown.
func offsetOf(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n < 0 {
		return 0, history.ErrBadCursor
	}
	return n, nil
}

func (s *Server) queueStats(ctx context.Context, in *ByRef) (*reply[wire.QueueStats], error) {
	if _, err := s.defs.action(in.Ref); err != nil {
		return nil, err
	}
	stats, err := ask[streams.QueueStats](ctx, s, streams.RPCQueueStats, streams.QueueRequest{Action: in.Ref})
	if err != nil {
		return nil, err
	}
	return answer(stats), nil
}

func (s *Server) pauseQueue(ctx context.Context, in *ByRef) (*reply[wire.QueueStats], error) {
	return s.control(ctx, in.Ref, true)
}

func (s *Server) resumeQueue(ctx context.Context, in *ByRef) (*reply[wire.QueueStats], error) {
	return s.control(ctx, in.Ref, false)
}

// control notes what an operator said of a queue, for every scheduler that will lead. It does not need one now.
func (s *Server) control(ctx context.Context, ref string, paused bool) (*reply[wire.QueueStats], error) {
	a, err := s.defs.action(ref)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(streams.QueueControl{Version: streams.Version, Paused: paused, By: admin, At: time.Now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("control of queue %s: %w", ref, err)
	}
	if _, err := onBus(ctx, s, func(ctx context.Context) (uint64, error) { return s.putControl(ctx, ref, data) }); err != nil {
		return nil, fmt.Errorf("control of queue %s: %w", ref, err)
	}
	stats, err := ask[streams.QueueStats](ctx, s, streams.RPCQueueStats, streams.QueueRequest{Action: ref})
	if err != nil {
		stats = streams.QueueStats{Action: ref, Limit: a.Spec.Concurrency.Limit}
	}
	stats.Paused = paused
	return answer(stats), nil
}

func (s *Server) putControl(ctx context.Context, ref string, data []byte) (uint64, error) {
	kv, err := s.config.Bus.JS.KeyValue(ctx, streams.BucketQueues)
	if err != nil {
		return 0, fmt.Errorf("open bucket %s: %w", streams.BucketQueues, err)
	}
	return kv.Put(ctx, ref, data)
}
