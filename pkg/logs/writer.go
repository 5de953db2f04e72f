package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// Summary counts what an execution wrote.
type Summary struct {
	Stdout StreamSummary
	Stderr StreamSummary

	// Of the whole log, the attempts before included. They are not known of a log that could not be stored.
	LogBytes    int64 // markers included
	StoredBytes int64 // in the object store
}

// Truncated tells whether anything was not kept.
func (s Summary) Truncated() bool { return s.Dropped() > 0 }

// Dropped counts what was not kept of both streams.
func (s Summary) Dropped() int64 { return s.Stdout.Dropped + s.Stderr.Dropped }

// StreamSummary counts what a process wrote to one stream.
type StreamSummary struct {
	Written int64
	Dropped int64 // of that, not kept
}

// Sink takes one output stream.
type Sink interface {
	io.Writer
	// Drop counts n bytes as written and not kept when nothing that is written is kept any more, and tells whether it
	// has. What would have to be done to bytes before they are kept, need not be done to those.
	Drop(n int) bool
}

// Writer keeps the output of one execution. It must be closed. An execution without output costs nothing: no
// message, no object, no goroutine.
type Writer struct {
	store     *Store
	execution string
	source    Source
	limits    Limits
	stdout    *stream
	stderr    *stream
	suspended bool // another attempt goes on with the log; set before the streams are ended

	budget   budget
	over     sync.Once
	excess   *Excess       // set by over
	exceeded chan struct{} // closed after that

	// ctx ends when the store is given up, which Close decides: until then every store operation is repeated.
	ctx    context.Context
	giveUp context.CancelCauseFunc
}

// Source is whose output it is. It is told in a header of every message on LOGS, so that who reads there need not look up
// each id; nothing else needs it. Without a name nothing is told.
type Source struct {
	Header string // streams.HeaderAction, HeaderSensor or HeaderPack
	Name   string
}

// NewWriter makes a writer for the output of an execution.
func (s *Store) NewWriter(execution string, of Source, l Limits) (*Writer, error) {
	w := &Writer{store: s, execution: execution, source: of, limits: l.WithDefaults(), exceeded: make(chan struct{})}
	w.budget.left.Store(w.limits.TotalBytes)
	w.ctx, w.giveUp = context.WithCancelCause(context.Background())
	var err error
	if w.stdout, err = newStream(w, Stdout); err != nil {
		return nil, err
	}
	w.stderr, err = newStream(w, Stderr)
	return w, err
}

// Stdout takes the standard output. Its Write never fails before Close: what cannot be kept is counted.
func (w *Writer) Stdout() Sink { return w.stdout }

// Stderr takes the standard error output, like Stdout.
func (w *Writer) Stderr() Sink { return w.stderr }

// Exceeded is closed when the output goes over a limit.
func (w *Writer) Exceeded() <-chan struct{} { return w.exceeded }

// Excess is the limit that the output went over; nil when it has not.
func (w *Writer) Excess() *Excess {
	select {
	case <-w.exceeded:
		return w.excess
	default:
		return nil
	}
}

func (w *Writer) exceed(e Excess) {
	w.over.Do(func() {
		w.excess = &e
		close(w.exceeded)
	})
}

// Suspend publishes and stores what is left, and leaves the log open for the next attempt: nobody is told that it is
// complete. It fails as Close does.
func (w *Writer) Suspend(ctx context.Context) (Summary, error) {
	w.suspended = true
	return w.finish(ctx)
}

// Close publishes and stores what is left, and returns when the log is complete for every reader. It tries
// until ctx ends; then it returns ErrNotStored, and readers find what had been published or stored by then.
func (w *Writer) Close(ctx context.Context) (Summary, error) { return w.finish(ctx) }

func (w *Writer) finish(ctx context.Context) (Summary, error) {
	stop := context.AfterFunc(ctx, func() { w.giveUp(context.Cause(ctx)) })
	defer stop()
	defer w.giveUp(nil)
	w.stdout.end()
	w.stderr.end()
	err := errors.Join(w.stdout.wait(), w.stderr.wait())
	summary := Summary{Stdout: w.stdout.summary(), Stderr: w.stderr.summary()}
	some := summary != (Summary{}) || w.stdout.base.Bytes+w.stderr.base.Bytes > 0
	var manifest int64
	if err == nil && !w.suspended && some {
		manifest, err = w.complete()
	}
	if err != nil {
		return summary, fmt.Errorf("log of execution %s: %w: %w", w.execution, ErrNotStored, err)
	}
	summary.LogBytes = w.stdout.stored.Bytes + w.stderr.stored.Bytes
	summary.StoredBytes = w.stdout.stored.inObjects() + w.stderr.stored.inObjects() + manifest
	return summary, nil
}

// complete stores the manifest and tells its size. It is put once and never again: a reader of an object that is
// replaced waits for chunks that are gone. Until then readers find the segments by their names.
func (w *Writer) complete() (size int64, err error) {
	m := Manifest{Version: manifestVersion, Execution: w.execution, Complete: true, Encoding: encoding, Streams: map[string]StreamManifest{
		Stdout: w.stdout.stored, Stderr: w.stderr.stored,
	}}
	failpoint.Hit(failpoint.LogsUnmanifest)
	err = w.persist("manifest", func(ctx context.Context) (err error) {
		size, err = w.store.putManifest(ctx, m)
		return err
	})
	return size, err
}

// attemptTimeout bounds one attempt at the store: a server whose disk is full does not answer at all, and one
// that is restarted does not answer what it had been asked. It is shorter than the patience with a slow store.
const attemptTimeout = 2 * time.Second

// errFull is returned when the store has no room, and had none for as long as it is waited for.
var errFull = errors.New("log store is full")

// persist repeats a store operation until it succeeds or the store is given up. It returns errFull when the store
// refuses for want of room for the store's patience.
func (w *Writer) persist(what string, op func(context.Context) error) error {
	var full time.Time // since when it is
	attempt := func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(w.ctx, attemptTimeout)
		defer cancel()
		err := op(ctx)
		switch {
		case !streams.IsFull(err):
			full = time.Time{}
		case full.IsZero():
			full = time.Now()
		case time.Since(full) > w.store.Patience:
			err = backoff.Permanent(fmt.Errorf("%w: %w", errFull, err))
		}
		return struct{}{}, err
	}
	notify := func(err error, wait time.Duration) {
		w.store.Logger.WarnContext(w.ctx, "log store is not available", slog.String(logging.ExecutionID, w.execution),
			slog.String("part", what), slog.Any(logging.Error, err), slog.Duration("retry_in", wait))
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(w.ctx, attempt, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0), backoff.WithNotify(notify))
	return err
}
