package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

const (
	// maxPause is the longest pause that ends by itself.
	maxPause = 30 * 24 * time.Hour
	// heardPatience is how long an answer waits until the leading scheduler has heard what was said.
	heardPatience = time.Second
)

func (s *Server) routeControls(a huma.API) {
	say := func(verb, id, summary string) huma.Operation {
		o := op(mayAt(access.Operate, access.Queues, "ref", queueNoun), http.MethodPost, "/queues/{ref}/"+verb, id, "Queues", summary, http.StatusNotFound)
		o.Description = controlNote
		return o
	}
	register(s, a, say("pause", "pause-queue", "Let nobody more start; those that run go on"), s.pauseQueue)
	register(s, a, say("resume", "resume-queue", "End a pause and a drain"), s.resumeQueue)
	register(s, a, say("drain", "drain-queue", "Refuse what is requested from now on; what waits still runs"), s.drainQueue)
	register(s, a, say("limit", "limit-queue", "Set how many run at once, in place of what is declared"), s.limitQueue)
}

const controlNote = "Of an action (PACK.NAME), all actions of a pack (PACK), or all (_all). It holds until something else is said, whoever leads and " +
	"whatever is installed, and needs no scheduler. What else was said of the same stays."

type pauseInput struct {
	ByScope
	Body *wire.QueuePause
}

func (s *Server) pauseQueue(ctx context.Context, in *pauseInput) (*reply[wire.QueueStats], error) {
	var until *time.Time
	if in.Body != nil && in.Body.For != "" {
		d, err := time.ParseDuration(in.Body.For)
		if err != nil || d <= 0 || d > maxPause {
			return nil, invalid("for", "want a duration such as 90s or 2h, at most 720h")
		}
		at := time.Now().UTC().Add(d)
		until = &at
	}
	return s.steer(ctx, in.Scope, func(c *streams.QueueControl) { c.Paused, c.PausedUntil = true, until })
}

func (s *Server) resumeQueue(ctx context.Context, in *ByScope) (*reply[wire.QueueStats], error) {
	return s.steer(ctx, in.Scope, func(c *streams.QueueControl) {
		c.Paused, c.PausedUntil, c.Draining, c.DrainAfter = false, nil, false, 0
	})
}

// drainQueue takes for old what stood in QUEUE when the request was read. Who draws the line again leaves it where
// it is.
func (s *Server) drainQueue(ctx context.Context, in *ByScope) (*reply[wire.QueueStats], error) {
	last, err := onBus(ctx, s, s.lastQueued)
	if err != nil {
		return nil, fmt.Errorf("drain %s: %w", in.Scope, err)
	}
	return s.steer(ctx, in.Scope, func(c *streams.QueueControl) {
		if !c.Draining {
			c.Draining, c.DrainAfter = true, last
		}
	})
}

func (s *Server) lastQueued(ctx context.Context) (uint64, error) {
	queue, err := s.config.Bus.JS.Stream(ctx, streams.Queue)
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", streams.Queue, err)
	}
	return queue.CachedInfo().State.LastSeq, nil
}

type limitInput struct {
	ByScope
	Body wire.QueueLimit
}

func (s *Server) limitQueue(ctx context.Context, in *limitInput) (*reply[wire.QueueStats], error) {
	limit := 0
	if in.Body.Limit != nil {
		limit = *in.Body.Limit
	}
	return s.steer(ctx, in.Scope, func(c *streams.QueueControl) { c.Limit = limit })
}

// said is what operators said of a scope, and had said before.
type said struct {
	now, before streams.QueueControl
}

// steer changes what operators said of a scope, for every scheduler that will lead. It does not need one now.
func (s *Server) steer(ctx context.Context, scope string, change func(*streams.QueueControl)) (*reply[wire.QueueStats], error) {
	if !isScope(scope) {
		return nil, notFound("queue", scope)
	}
	done, err := s.say(ctx, scope, change)
	if err != nil {
		return nil, fmt.Errorf("control of queue %s: %w", scope, err)
	}
	note(ctx, scope, done.before, done.now)
	return answer(s.heard(ctx, scope, done)), nil
}

// say changes the scope's entry by compare-and-set: of two operators at once neither loses what he said.
func (s *Server) say(ctx context.Context, scope string, change func(*streams.QueueControl)) (said, error) {
	for {
		before, revision, err := s.readControl(ctx, scope)
		if err != nil {
			return said{}, err
		}
		if revision == 0 {
			if err := s.checkScope(ctx, scope); err != nil {
				return said{}, err
			}
		}
		now := before
		change(&now)
		now.Version, now.By, now.At = streams.Version, caller(ctx), time.Now().UTC()
		err = s.writeControl(ctx, scope, now, revision)
		if errors.Is(err, jetstream.ErrKeyExists) || streams.IsStale(err) || streams.IsUndecided(err) {
			continue // somebody else was first; look again
		}
		return said{now: now, before: before}, err
	}
}

// readControl gives what was said of a scope and the entry's revision, 0 when nothing was.
func (s *Server) readControl(ctx context.Context, scope string) (c streams.QueueControl, revision uint64, err error) {
	entry, err := onBus(ctx, s, func(ctx context.Context) (jetstream.KeyValueEntry, error) {
		kv, err := s.config.Bus.JS.KeyValue(ctx, streams.BucketQueues)
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", streams.BucketQueues, err)
		}
		return kv.Get(ctx, scope)
	})
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return c, 0, nil
	}
	if err != nil {
		return c, 0, err
	}
	if err := json.Unmarshal(entry.Value(), &c); err != nil {
		return c, 0, fmt.Errorf("revision %d: %w", entry.Revision(), err)
	}
	if c.PausedUntil != nil && !time.Now().Before(*c.PausedUntil) {
		c.Paused, c.PausedUntil = false, nil // it has ended
	}
	return c, entry.Revision(), nil
}

func (s *Server) writeControl(ctx context.Context, scope string, c streams.QueueControl, revision uint64) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = onBus(ctx, s, func(ctx context.Context) (uint64, error) {
		kv, err := s.config.Bus.JS.KeyValue(ctx, streams.BucketQueues)
		if err != nil {
			return 0, fmt.Errorf("open bucket %s: %w", streams.BucketQueues, err)
		}
		if revision == 0 {
			return kv.Create(ctx, scope, data)
		}
		return kv.Update(ctx, scope, data, revision)
	})
	return err
}

// isScope tells whether text has the form of a scope: others are not looked up.
func isScope(text string) bool {
	if text == streams.ScopeAll {
		return true
	}
	if _, err := pack.ParseRef(text); err == nil {
		return true
	}
	_, err := pack.ParseRef(text + ".x")
	return err == nil
}

// installed is nil when there are definitions of a scope.
func (s *Server) installed(scope string) error {
	if scope == streams.ScopeAll {
		return nil
	}
	v, err := s.defs.view()
	if err != nil {
		return err
	}
	ref, err := pack.ParseRef(scope)
	if err != nil {
		if _, ok := v.Packs[scope]; ok {
			return nil
		}
		return notFound("action or pack", scope)
	}
	if _, ok := v.Actions[ref]; !ok {
		return notFound("action", scope)
	}
	return nil
}

// checkScope refuses a scope of which nothing is installed and nobody waits or runs.
func (s *Server) checkScope(ctx context.Context, scope string) error {
	unknown := s.installed(scope)
	if unknown == nil {
		return nil
	}
	if q, err := s.stats(ctx, scope, ""); err == nil && !isIdle(q) {
		return nil
	}
	return unknown
}

// heard tells how a scope stands, when the leading scheduler has heard what was said: after the answer to a pause
// nobody starts. Without its word, what was said has to do: the next leader will read it.
func (s *Server) heard(ctx context.Context, scope string, done said) streams.QueueStats {
	ctx, cancel := context.WithTimeout(ctx, heardPatience)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		q, err := s.stats(ctx, scope, "")
		if err != nil {
			return s.withSaid(streams.QueueStats{Action: scope}, done)
		}
		if hasHeard(q, done) {
			return q
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return s.withSaid(q, done)
		}
	}
}

// hasHeard tells whether the statistics show what was said. A limit that was given back shows itself by not being
// the old one.
func hasHeard(q streams.QueueStats, d said) bool {
	limit := q.Limit == d.now.Limit || d.now.Limit == 0 && (d.before.Limit == 0 || q.Limit != d.before.Limit)
	return q.Paused == d.now.Paused && q.Draining == d.now.Draining && limit
}

// withSaid puts into statistics what was said and does not show in them yet. A pause that was ended, and still
// shows, may be that of a wider scope.
func (s *Server) withSaid(q streams.QueueStats, d said) streams.QueueStats {
	if d.now.Paused {
		q.Paused, q.PausedUntil = true, d.now.PausedUntil
	}
	q.Draining = q.Draining || d.now.Draining
	switch {
	case d.now.Limit != 0:
		q.Limit = d.now.Limit
	case q.Limit == 0 || q.Limit == d.before.Limit: // nobody answered, or the leader has not heard
		q.Limit = s.declaredLimit(q.Action, q.Limit)
	}
	return q
}

// declaredLimit gives the limit that an action or pack declares; otherwise, where that is not known here.
func (s *Server) declaredLimit(scope string, otherwise int) int {
	v, err := s.defs.view()
	if err != nil {
		return otherwise
	}
	if p, ok := v.Packs[scope]; ok {
		return p.ConcurrencyLimit
	}
	if ref, err := pack.ParseRef(scope); err == nil {
		if a, ok := v.Actions[ref]; ok {
			return a.Spec.Concurrency.Limit
		}
	}
	return otherwise
}
