package recorder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

const (
	// maxSwept is how many executions' facts are deleted before that is noted.
	maxSwept = 200
	// sweepers is how many deletions are under way at once; more would only crowd out publishers.
	sweepers = 8
	// deleteSubject is where the server is asked to delete a message of EXECUTIONS.
	deleteSubject = "$JS.API.STREAM.MSG.DELETE." + streams.Executions
)

// sweep deletes the facts of executions that ended long enough ago. What is to be deleted is derived from the
// table, so a sweep that is killed goes on with the next.
func (r *Recorder) sweep(ctx context.Context) error {
	every := min(max(r.Grace/10, 100*time.Millisecond), 30*time.Second)
	for ctx.Err() == nil {
		if err := r.sweepAll(ctx); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "facts of ended executions stay on the bus for now", slog.Any(logging.Error, err), slog.Duration("retry_in", every))
		}
		lifecycle.Pause(ctx, every)
	}
	return context.Cause(ctx)
}

func (r *Recorder) sweepAll(ctx context.Context) error {
	stream, err := r.Bus.JS.Stream(ctx, streams.Executions)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", streams.Executions, err)
	}
	epoch := epochOf(stream.CachedInfo())
	if r.cleared != epoch {
		if err := r.history.ForgetOlder(ctx, epoch); err != nil {
			return err
		}
		r.cleared = epoch
	}
	for {
		left, err := r.history.Leftovers(ctx, epoch, r.Grace, maxSwept)
		if err != nil || len(left) == 0 {
			return err
		}
		if err := r.deleteFacts(ctx, stream, left); err != nil {
			return err
		}
		if err := r.history.Swept(ctx, epoch, left); err != nil || len(left) < maxSwept {
			return err
		}
	}
}

// deleteFacts deletes messages, several at once: to wait for each would cost more than all of the rest.
func (r *Recorder) deleteFacts(ctx context.Context, stream jetstream.Stream, left []history.Leftover) error {
	conn := r.Bus.Conn
	inbox := conn.NewInbox()
	answers := make(chan *nats.Msg, sweepers) // one that the subscription made itself would take half a megabyte
	sub, err := conn.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		return fmt.Errorf("delete facts: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it ends with the connection in any case
	var seqs []int64
	for _, l := range left {
		seqs = append(seqs, l.Seqs...)
	}
	for some := range slices.Chunk(seqs, sweepers) { // together, for each that goes by itself is a write to the connection
		for _, seq := range some {
			request := append(strconv.AppendInt([]byte(`{"seq":`), seq, 10), `,"no_erase":true}`...)
			if err := conn.PublishRequest(deleteSubject, inbox+"."+strconv.FormatInt(seq, 10), request); err != nil {
				return fmt.Errorf("delete fact %d: %w", seq, err)
			}
		}
		for range some {
			if err := awaitDeleted(ctx, stream, answers); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitDeleted takes the next answer. Where that is not that the message is deleted it is deleted in the careful way.
func awaitDeleted(ctx context.Context, stream jetstream.Stream, answers <-chan *nats.Msg) error {
	late := time.NewTimer(attemptTimeout)
	defer late.Stop()
	var m *nats.Msg
	select {
	case m = <-answers:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fmt.Errorf("delete facts: no answer within %s", attemptTimeout)
	}
	if bytes.Contains(m.Data, []byte(`"success":true`)) {
		return nil
	}
	seq, err := strconv.ParseInt(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 10, 64)
	if err == nil {
		err = deleteFact(ctx, stream, uint64(seq))
	}
	if err != nil {
		return fmt.Errorf("delete fact %d: %w", seq, err)
	}
	return nil
}

// deleteFact deletes a message, and is content when it is gone already.
func deleteFact(ctx context.Context, stream jetstream.Stream, seq uint64) error {
	err := stream.DeleteMsg(ctx, seq)
	if err == nil {
		return nil
	}
	if _, missing := stream.GetMsg(ctx, seq); errors.Is(missing, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}
