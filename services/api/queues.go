package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// queueNoun is what the owner of a line is called, whatever it is.
const queueNoun = "action or pack"

func (s *Server) routeQueues(a huma.API) {
	const tag = "Queues"
	register(s, a, op(mayList(access.View, access.Queues), http.MethodGet, "/queues", "list-queues", tag, "List the lines that have work or are paused"), s.listQueues)
	register(s, a, op(mayAt(access.View, access.Queues, "ref", queueNoun), http.MethodGet, "/queues/{ref}", "show-queue", tag, "Show an action's line in order",
		http.StatusNotFound), s.showQueue)
	register(s, a, op(mayAt(access.View, access.Queues, "ref", queueNoun), http.MethodGet, "/actions/{ref}/queue-stats", "show-queue-stats", tag,
		"Say how an action's line stands, all keys together, or those of a pack, or all", http.StatusNotFound), s.queueStats)
	s.routeControls(a)
}

func (s *Server) listQueues(ctx context.Context, in *Paging) (*reply[wire.Page[wire.QueueStats]], error) {
	after, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	action, key, ok := strings.Cut(string(after), "\x00")
	if err != nil || in.Cursor != "" && !ok {
		return nil, history.ErrBadCursor
	}
	page := wire.Page[wire.QueueStats]{Items: []wire.QueueStats{}}
	reach := s.reach(ctx, access.View, access.Queues)
	for {
		list, err := ask[streams.QueueList](ctx, s, streams.RPCQueueList,
			streams.QueueListRequest{AfterAction: action, AfterKey: key, Limit: in.Limit})
		if err != nil {
			return nil, err
		}
		for _, q := range list.Queues {
			action, key = q.Action, q.Key
			if scope, ok := scopeOf(q.Action); ok && reach.Has(scope) {
				page.Items = append(page.Items, q)
			}
			if len(page.Items) == in.Limit {
				break
			}
		}
		if !list.More || len(list.Queues) == 0 {
			return answer(page), nil
		}
		if len(page.Items) == in.Limit {
			page.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(action + "\x00" + key))
			return answer(page), nil
		}
	}
}

// ByRef names a definition in the path.
type ByRef struct {
	Ref string `path:"ref" doc:"As PACK.NAME"`
}

type queueInput struct {
	ByRef
	Paging
	Key string `query:"key" doc:"The concurrency key, for actions that have one: any text of at most 16 KiB"`
}

func (s *Server) showQueue(ctx context.Context, in *queueInput) (*reply[wire.Queue], error) {
	offset, err := offsetOf(in.Cursor)
	if err != nil {
		return nil, err
	}
	if _, err := pack.ParseRef(in.Ref); err != nil {
		return nil, notFound("queue", in.Ref)
	}
	if len(in.Key) > wire.MaxKey {
		return nil, invalid("key", fmt.Sprintf("takes %d bytes, at most %d", len(in.Key), wire.MaxKey))
	}
	found, err := ask[streams.QueueView](ctx, s, streams.RPCQueueShow,
		streams.QueueRequest{Action: in.Ref, Key: in.Key, Offset: offset, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	if found.Error != "" {
		return nil, fmt.Errorf("queue %s: %s: %w", in.Ref, found.Error, errScheduler)
	}
	if isIdle(found.QueueStats) { // without work a queue is only as real as its action
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

// ByScope names what operators steer in the path.
type ByScope struct {
	Scope string `path:"ref" doc:"An action as PACK.NAME, a pack as PACK, or _all"`
}

func (s *Server) queueStats(ctx context.Context, in *ByScope) (*reply[wire.QueueStats], error) {
	if !isScope(in.Scope) {
		return nil, notFound("queue", in.Scope)
	}
	stats, err := s.stats(ctx, in.Scope, "")
	if unknown := s.installed(in.Scope); unknown != nil && (err != nil || isIdle(stats) && !s.isControlled(ctx, in.Scope)) {
		return nil, unknown
	}
	if err != nil {
		return nil, err
	}
	return answer(stats), nil
}

// isControlled tells whether operators said something of a scope.
func (s *Server) isControlled(ctx context.Context, scope string) bool {
	_, revision, err := s.readControl(ctx, scope)
	return err == nil && revision != 0
}

// isIdle tells whether nobody is in a queue: it is only as real as its definition.
func isIdle(q streams.QueueStats) bool { return q.Waiting+q.Running+q.Delayed == 0 }
