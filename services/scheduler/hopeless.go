package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/admission"
	present "github.com/attune/attune/pkg/fleet"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

// hopelessLevel is how often an execution must have been found waiting for a runner before it is asked whether any
// can run it: after a minute of pace.claim. A runner that is being restarted is back by then.
const hopelessLevel = 4

// hopeless gives, by token, why no living runner takes the executions of a placement, for suspects that have waited
// for long. An action may say that its executions wait all the same.
func (t *term) hopeless(ctx context.Context, suspects []suspect) (map[string]error, error) {
	var living *present.Fleet
	why := map[string]error{}
	for _, s := range suspects {
		token := s.place.Pool
		if _, asked := why[token]; asked || s.level < hopelessLevel || placement.Pool(token) == token {
			continue
		}
		p, err := t.placement(ctx, token)
		if err == nil && living == nil {
			living, err = present.Now(ctx, t.Bus.JS, t.Logger)
		}
		if err != nil {
			return nil, err
		}
		why[token] = nil
		if !p.Wait && p.Pool != "" {
			why[token] = living.Check(p)
		}
	}
	return why, nil
}

// placement reads what a token stands for; nothing when nobody said.
func (t *term) placement(ctx context.Context, token string) (streams.Placement, error) {
	var p streams.Placement
	kv, err := t.Bus.JS.KeyValue(ctx, streams.BucketPlacements)
	if err != nil {
		return p, fmt.Errorf("open bucket %s: %w", streams.BucketPlacements, err)
	}
	e, err := kv.Get(ctx, token)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("read placement %s: %w", token, err)
	}
	if err := json.Unmarshal(e.Value(), &p); err != nil {
		return p, fmt.Errorf("read placement %s: %w", token, err)
	}
	return p, nil
}

// giveUp ends an execution that was admitted and that nobody can run: its slot is for others.
func (t *term) giveUp(p admission.Place, why error) {
	t.dismiss.put(dismissal{
		Admission: admission.Admission{ID: p.ID, Queue: p.Queue, Pool: p.Pool, Attempt: p.Attempt},
		status:    streams.Canceled, class: streams.ClassNoRunner, why: why.Error(),
	})
}
