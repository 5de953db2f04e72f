package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// keepOnce is how long an entry of ONCE outlives its window. Whoever is behind by less decides as it would have
// been decided at once.
const keepOnce = 24 * time.Hour

// errEntry is returned when an entry of ONCE cannot be read.
var errEntry = errors.New("its window cannot be read")

// once lets one event of a window through, for each value of the key.
type once struct {
	says   pack.OncePer
	window time.Duration
	key    *expression.Key // nil: one window for all events
}

func newOnce(o *pack.OncePer) (*once, error) {
	if o == nil {
		return nil, nil //nolint:nilnil // most rules have none
	}
	c := &once{says: *o, window: time.Duration(o.Window)}
	if o.Key == "" {
		return c, nil
	}
	var err error
	c.key, err = expression.NewEventKey(o.Key)
	return c, err
}

// keyOf gives the event's value of the key; "" when there is no key.
func (o *once) keyOf(ctx context.Context, vars map[string]any) (string, error) {
	if o.key == nil {
		return "", nil
	}
	return o.key.Eval(ctx, vars)
}

// turn is an event that a rule matched, in the line of those with its key.
type turn struct {
	*once
	key    string // as given
	entry  string // the key in ONCE
	action string
	mine   streams.Once
}

// hold makes a match of a rule with once_per a suppressed one when another event of its window went through. What
// went through is written down before its execution is requested, so that an event that is decided again finds
// itself there. An error means that ctx has ended.
func (s *Service) hold(ctx context.Context, b *burst, r *rule, ev event.Event, vars map[string]any, d *streams.RuleDecision, req *execution.Request) error {
	key, err := r.once.keyOf(ctx, vars)
	reason := ""
	if err == nil {
		t := turn{once: r.once, key: key, entry: streams.OnceKey(d.Rule, key), action: d.Action, mine: streams.Once{
			Version: streams.Version, Event: ev.ID, Execution: d.Execution, At: ev.ReceivedAt,
		}}
		err = s.insist(ctx, "look at a window of once_per", func() (err error) {
			if t.says.Take == pack.TakeLast {
				reason, err = s.takeLast(ctx, b, t, req)
			} else {
				reason, err = s.take(ctx, b, t)
			}
			return err
		})
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		*d = streams.RuleDecision{Rule: d.Rule, Outcome: streams.Errored, Reason: clip("once_per: " + err.Error())}
	case reason != "":
		*d = streams.RuleDecision{Rule: d.Rule, Outcome: streams.Suppressed, Reason: clip(reason)}
	case req.NotBefore != nil:
		d.Reason = clip(fmt.Sprintf("%s: it is put in line at %s, unless another event of the window comes", r.once.says.For(key), clock(*req.NotBefore)))
	}
	return nil
}

// take opens a window with an event. When the event is not the first of its window it gives the reason, which
// names the one that was.
func (s *Service) take(ctx context.Context, b *burst, t turn) (string, error) {
	found, err := s.once.Get(ctx, t.entry)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", s.open(ctx, t)
	}
	if err != nil {
		return "", fmt.Errorf("read entry %s of %s: %w", t.entry, streams.BucketOnce, err)
	}
	first, err := readOnce(found)
	switch since := t.mine.At.Sub(first.At); {
	case err != nil:
		return "", backoff.Permanent(err)
	case first.Event == t.mine.Event:
		return "", nil
	case since < 0: // decided again after its window
		if known, err := s.requested(ctx, t.action, t.mine.Execution); known || err != nil {
			return "", err
		}
		return t.reason(first), nil
	case since < t.window:
		return t.reason(first), nil
	}
	if err := s.settle(ctx, b, first.Execution); err != nil {
		return "", err
	}
	return "", s.reopen(ctx, t, found.Revision())
}

func readOnce(entry jetstream.KeyValueEntry) (streams.Once, error) {
	var o streams.Once
	if err := json.Unmarshal(entry.Value(), &o); err != nil || o.Version > streams.Version {
		return o, fmt.Errorf("entry %s of %s, version %d: %w", entry.Key(), streams.BucketOnce, o.Version, cmp.Or(err, errEntry))
	}
	return o, nil
}

// reason says which event went through in place of this one.
func (t turn) reason(first streams.Once) string {
	return fmt.Sprintf("%s: execution %s of event %s at %s", t.says.For(t.key), first.Execution, first.Event, clock(latest(first)))
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// open writes the first entry of a key.
func (s *Service) open(ctx context.Context, t turn) error {
	data, err := json.Marshal(t.mine)
	if err != nil {
		return backoff.Permanent(err)
	}
	if _, err := s.once.Create(ctx, t.entry, data, jetstream.KeyTTL(t.lifetime())); err != nil {
		return fmt.Errorf("write entry %s of %s: %w", t.entry, streams.BucketOnce, err)
	}
	return nil
}

// reopen puts an entry in place of that of an earlier window, if nobody else has.
func (s *Service) reopen(ctx context.Context, t turn, revision uint64) error {
	subject, err := streams.EntrySubject(streams.BucketOnce, t.entry)
	if err != nil {
		return backoff.Permanent(err)
	}
	m := nats.NewMsg(subject)
	if m.Data, err = json.Marshal(t.mine); err != nil {
		return backoff.Permanent(err)
	}
	// The client's Update gives an entry no lifetime.
	if _, err := s.Bus.JS.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(revision), jetstream.WithMsgTTL(t.lifetime())); err != nil {
		return fmt.Errorf("replace entry %s of %s: %w", t.entry, streams.BucketOnce, err)
	}
	return nil
}

// lifetime is in whole seconds, as the server wants it.
func (t turn) lifetime() time.Duration { return (t.window + keepOnce).Truncate(time.Second) }

// requested tells whether an execution was ever requested.
func (s *Service) requested(ctx context.Context, action, id string) (bool, error) {
	_, err := s.facts.Last(ctx, action, id)
	if !errors.Is(err, execution.ErrNotFound) {
		return err == nil, err
	}
	known, err := s.history.Exists(ctx, []string{id})
	return known[id], err
}

// settle requests the executions of the burst's earlier events, if the given one is among them. Once a window is
// replaced only its execution tells that its event went through: it must exist by then.
func (s *Service) settle(ctx context.Context, b *burst, id string) error {
	if !b.wants(id) && len(b.superseded) == 0 {
		return nil
	}
	earlier, current := b.split()
	b.wanted = earlier
	err := s.requestAll(ctx, b)
	b.wanted = current
	return err
}
