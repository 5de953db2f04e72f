package runner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// An execution that ends before watchAfter costs no subscription; nobody cancels that fast. A message is seen
// by subscribers before the stream has stored it, and may be refused yet: the state is looked at again soon
// after a message, then less and less often, and every watchEvery should a message have been missed. One that was sent
// just before the subscription is missed, and may be stored after the first look, so others follow that soon as well.
const (
	watchAfter = 100 * time.Millisecond
	watchFirst = 100 * time.Millisecond
	watchSoon  = 2 * time.Millisecond
	watchEvery = 15 * time.Second
)

// watch ends the process when the execution is canceled or taken away. Messages on the execution's subject
// are hints only: what counts is the last fact.
func (a *attempt) watch(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Add(1)
	timer := time.AfterFunc(watchAfter, func() {
		defer done.Done()
		a.listen(ctx, end)
	})
	return func() {
		cancel()
		if timer.Stop() {
			done.Done()
		}
		done.Wait()
	}
}

func (a *attempt) listen(ctx context.Context, end context.CancelCauseFunc) {
	ref, err := pack.ParseRef(a.state.Action)
	if err != nil {
		return // it could not have been claimed
	}
	subject, err := streams.ExecutionSubject(ref.Pack, ref.Name, a.state.ID)
	if err != nil {
		return // likewise
	}
	hints := make(chan *nats.Msg, 1)
	sub, err := a.r.Bus.Conn.ChanSubscribe(subject, hints)
	if err != nil {
		a.log.WarnContext(ctx, "cancel is noticed late", slog.Any(logging.Error, err))
	} else {
		defer func() { _ = sub.Unsubscribe() }() // the connection may have been closed
	}
	again := time.NewTimer(watchEvery)
	defer again.Stop()
	for wait := watchFirst; ; wait = min(2*wait, watchEvery) {
		if cause := a.look(ctx); cause != nil {
			end(cause)
			return
		}
		again.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-hints:
			wait = watchSoon
		case <-again.C:
		}
	}
}

// look reads the state and tells why the process must end, if it must.
func (a *attempt) look(ctx context.Context) error {
	last, err := a.r.facts.Last(ctx, a.state.Action, a.state.ID)
	switch {
	case errors.Is(err, execution.ErrNotFound):
		return errSuperseded
	case err != nil:
		return nil // the bus is away, or we are done; the next look tells
	case last.Sequence == a.state.Sequence:
		return nil
	case last.Status == streams.Canceling && a.owns(last.Fact):
		return errCanceled
	}
	return errSuperseded
}

// owns tells whether a fact is about this attempt by this runner.
func (a *attempt) owns(f execution.Fact) bool {
	return f.Attempt == a.state.Attempt && f.Runner == a.state.Runner
}
