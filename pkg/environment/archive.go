package environment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// fetchPatience is how long a part of an archive may take to come. What was asked of a server that is restarted is
// never answered.
const fetchPatience = 5 * time.Second

// errStalled is the cause of the end of a fetch of which nothing comes.
var errStalled = errors.New("nothing came for too long")

// Archives reads the archives of packs.
type Archives struct{ JS jetstream.JetStream }

// Open begins to read an archive. Errors of the bus are ErrFetch, and so is that nothing comes for five seconds; that
// there is no such archive is not.
func (a Archives) Open(ctx context.Context, digest string) (io.ReadCloser, error) {
	patient, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // a deadline would be taken for each part's
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	r := &archive{cancel: func() { stop(); cancel(nil) }}
	r.stall = time.AfterFunc(fetchPatience, func() { cancel(errStalled) })
	var err error
	if r.ObjectResult, err = a.get(patient, digest); err != nil {
		if cause := context.Cause(patient); cause != nil {
			err = errors.Join(cause, err)
		}
		r.end()
		return nil, err
	}
	return r, nil
}

func (a Archives) get(ctx context.Context, digest string) (jetstream.ObjectResult, error) {
	objects, err := a.JS.ObjectStore(ctx, streams.ObjectsPacks)
	if err != nil {
		return nil, fmt.Errorf("%w: open object bucket %s: %w", ErrFetch, streams.ObjectsPacks, err)
	}
	object, err := objects.Get(ctx, digest)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("there is no archive of that digest: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	return object, nil
}

// archive tells at its end whether all of it was read.
type archive struct {
	jetstream.ObjectResult
	stall  *time.Timer
	cancel func()
	failed error // of the last Read
}

// Read gives up when nothing comes. That is no fault of the archive, which its reader could not know.
func (a *archive) Read(p []byte) (int, error) {
	a.stall.Reset(fetchPatience)
	n, err := a.ObjectResult.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		a.failed = err
		err = fmt.Errorf("%w: %w", ErrFetch, err)
	}
	return n, err
}

func (a *archive) end() {
	a.stall.Stop()
	a.cancel()
}

// Close reports what went wrong while it was read.
func (a *archive) Close() error {
	defer a.end()
	err := cmp.Or(a.failed, a.Error())
	closed := a.ObjectResult.Close()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFetch, errors.Join(err, closed))
	}
	return nil
}
