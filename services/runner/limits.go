package runner

import (
	"context"

	"github.com/attune/attune/pkg/logs"
)

// endAtLimit ends an execution whose output goes over a limit, where its action wants that, until the returned
// function is called.
func (a *attempt) endAtLimit(ctx context.Context, w *logs.Writer, cancel context.CancelCauseFunc) (stop func()) {
	if a.truncates() {
		return func() {}
	}
	ctx, ended := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-w.Exceeded():
			cancel(w.Excess())
		case <-ctx.Done():
		}
	}()
	return func() { ended(); <-done }
}

// truncates tells whether output over a limit is no failure.
func (a *attempt) truncates() bool {
	return a.program.Logs.TruncateOnExceed == nil || *a.program.Logs.TruncateOnExceed
}

// exceeded is the limit that the output went over, where that is a failure; nil otherwise.
func (a *attempt) exceeded(w *logs.Writer) *logs.Excess {
	if a.truncates() {
		return nil
	}
	return w.Excess()
}
