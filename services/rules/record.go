package rules

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// Decisions wait for recordAfter to be recorded, or until they are recordFrom: the executions that they led to are about to
// be claimed, and nobody waits for a decision as one waits for a start, so the disk is theirs first. No more events are
// decided while so many wait; with those of a burst they fit an atomic batch.
const (
	recordAfter = 5 * time.Millisecond
	recordFrom  = 400
)

// unrecorded is decisions that wait to be recorded. While the disk has some, the next events are decided: no event waits
// for another's decision to be stored. The goroutine that decides uses it.
type unrecorded struct {
	bursts [][]decided
	n      int         // decisions in them
	due    *time.Timer // runs while there are any
	late   bool        // it has run out

	next chan parcel // taken by the goroutine that records, when it has recorded the one before
}

// parcel is what is recorded together.
type parcel struct {
	sets   []streams.RuleSet // that no decision has named before
	bursts [][]decided
}

func newUnrecorded() *unrecorded {
	u := &unrecorded{due: time.NewTimer(recordAfter), next: make(chan parcel)}
	u.due.Stop()
	return u
}

// room gives the events as long as there is room for their decisions.
func (u *unrecorded) room(events <-chan jetstream.Msg) <-chan jetstream.Msg {
	if u.n >= recordFrom {
		return nil
	}
	return events
}

func (u *unrecorded) add(ds []decided) {
	if u.n == 0 {
		u.due.Reset(recordAfter)
	}
	u.bursts = append(u.bursts, ds)
	u.n += len(ds)
}

// ready gives the way to the disk once it is time.
func (u *unrecorded) ready() chan<- parcel {
	if !u.late && u.n < recordFrom {
		return nil
	}
	return u.next
}

// handedOver forgets what was taken to be recorded.
func (u *unrecorded) handedOver() {
	u.due.Stop()
	u.bursts, u.n, u.late = nil, 0, false
}

// recordAll records decisions in their order, however long that takes.
func (s *Service) recordAll(ctx context.Context, next <-chan parcel) error {
	var sheets sheets
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case p := <-next:
			if err := s.insist(ctx, "record decisions", func() error { return s.record(ctx, p, &sheets) }); err != nil {
				return err
			}
			failpoint.Hit(failpoint.RulesRecorded)
		}
	}
}

// record stores decisions in order, after the sets of rules that they name. When it fails in the middle it is repeated from
// the start: history takes each decision, and each set, once.
func (s *Service) record(ctx context.Context, p parcel, on *sheets) error {
	sets, err := setMessages(p.sets, time.Now())
	if err != nil {
		return backoff.Permanent(err)
	}
	msgs, err := on.write(p.bursts)
	if err != nil {
		return backoff.Permanent(err)
	}
	if len(sets) > 0 { // apart from the decisions, whose number they would make too large for a batch
		if _, err := s.store.Publish(ctx, sets...); err != nil {
			return err
		}
	}
	_, err = s.store.Publish(ctx, msgs...)
	return err
}

// sheets are messages that are written anew for each parcel: the memory of hundreds is most of the garbage that recording
// would make. A publish that has returned has copied them, unless its ctx has ended, and then they are not written again.
type sheets []*nats.Msg

// maxSheet is how much memory a message keeps for the next time, in bytes: decisions of many rules are rare.
const maxSheet = 1 << 10

// write writes decisions onto them.
func (s *sheets) write(bursts [][]decided) ([]*nats.Msg, error) {
	n := 0
	for _, ds := range bursts {
		for i := range ds {
			if n == len(*s) {
				*s = append(*s, &nats.Msg{Header: nats.Header{}})
			}
			if err := write((*s)[n], &ds[i].Decision); err != nil {
				return nil, err
			}
			n++
		}
	}
	return (*s)[:n], nil
}

func write(m *nats.Msg, d *streams.Decision) error {
	ref, err := pack.ParseRef(d.Trigger)
	if err != nil {
		ref = pack.Ref{Pack: noTrigger, Name: noTrigger}
	}
	if m.Subject, err = streams.DecisionSubject(ref.Pack, ref.Name, d.EventID); err != nil {
		return fmt.Errorf("decision about %s: %w", d.EventID, err)
	}
	if cap(m.Data) > maxSheet {
		m.Data = nil
	}
	if m.Data, err = d.AppendTo(m.Data[:0]); err != nil {
		return fmt.Errorf("decision about %s: encode: %w", d.EventID, err)
	}
	clear(m.Header)
	m.Header.Set(streams.HeaderEventSeq, strconv.FormatUint(d.EventSeq, 10))
	return nil
}
