package logs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// continuePatience is how long Continue tries to find out what there is.
const continuePatience = 30 * time.Second

// Continue makes a writer for another attempt of an execution, which goes on behind the output of those before it. It
// returns ErrNotStored when it cannot find out what there is.
func (s *Store) Continue(ctx context.Context, execution string, of Source, l Limits) (*Writer, error) {
	w, err := s.NewWriter(execution, of, l)
	if err != nil {
		return nil, err
	}
	for _, one := range []*stream{w.stdout, w.stderr} {
		_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, one.lookBack(ctx) }, backoff.WithMaxElapsedTime(continuePatience))
		if err != nil {
			return nil, fmt.Errorf("log of execution %s so far: %w: %w", execution, ErrNotStored, err)
		}
	}
	for _, one := range []*stream{w.stdout, w.stderr} {
		one.resume()
	}
	return w, nil
}

// lookBack finds what attempts before have stored and published.
func (s *stream) lookBack(ctx context.Context) error {
	s.tail = nil
	base, err := s.w.store.segments(ctx, s.w.execution, s.name)
	if err != nil {
		return err
	}
	s.base, s.stored = base, base
	c := &cursor{store: s.w.store, req: Request{Execution: s.w.execution, Stream: s.name}, subject: s.subject, pos: base.Bytes, stored: base}
	if err := c.seek(ctx); err != nil {
		return err
	}
	for {
		chunk, err := c.fromLive(ctx)
		if errors.Is(err, errNothingYet) {
			return nil
		}
		if err != nil {
			return err
		}
		s.tail, c.pos = append(s.tail, chunk), chunk.Next()
	}
}

// resume has what was only published stored, also when this attempt writes nothing.
func (s *stream) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tail) > 0 && !s.started {
		s.started = true
		go s.pump()
	}
}
