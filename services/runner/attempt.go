package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/streams"
)

// closing is how long a runner that stops goes on trying to store logs and to publish ends.
const closing = 10 * time.Second

// attempt is one execution under way, from its claim to its end. One goroutine at a time uses it.
type attempt struct {
	r         *Runner
	log       *slog.Logger
	requested execution.State // what was asked for, parameters included
	state     execution.State // the last fact that is known
	tenure    *tenure         // the runner's when it claimed

	problem error // why prepare failed; the execution fails of it
	program *program
	seat    *seat
	kept    bool // its end waits in the spool
}

// prepare makes ready what does not depend on the claim.
func (a *attempt) prepare(ctx context.Context) (err error) {
	if a.seat, err = a.r.place.take(); err != nil {
		return &internalError{err}
	}
	f := a.requested.Fact
	ref, err := pack.ParseRef(f.Action)
	if err != nil {
		return err
	}
	a.program, err = a.findProgram(ctx, f.PackDigest, ref.Name)
	return err
}

// findProgram waits for the bus when it is away: an outage that the runner's entry outlasts is only latency.
func (a *attempt) findProgram(ctx context.Context, digest, name string) (*program, error) {
	for {
		p, err := a.r.packs.program(ctx, a.r.runtimes, digest, name)
		if err == nil || !errors.Is(err, errFetch) || a.tenure.over() {
			return p, err
		}
		a.log.WarnContext(ctx, "pack not fetched", slog.Any(logging.Error, err), slog.Duration("retry_in", retryEvery))
		if pause(ctx, retryEvery); ctx.Err() != nil {
			return nil, err
		}
	}
}

// run takes a claimed execution to its end.
func (a *attempt) run(ctx context.Context) {
	done := a.r.metrics.begin(a.requested.RequestedAt, a.state.At)
	defer a.clear(ctx)
	o := a.execute(ctx)
	a.finish(ctx, o)
	done(a.state.Status)
}

// execute runs the process and tells how it ended.
func (a *attempt) execute(ctx context.Context) outcome {
	if a.problem != nil {
		return a.failure(a.problem)
	}
	secrets, err := a.secrets(ctx)
	if err != nil {
		return a.failure(err)
	}
	spec, err := a.spec(secrets)
	if err != nil {
		return a.failure(err)
	}
	w, err := a.r.logs.NewWriter(a.requested.ID, logs.Limits{StreamBytes: a.program.Logs.MaxBytes, SegmentBytes: a.program.Logs.SegmentBytes})
	if err != nil {
		return a.failure(&internalError{err})
	}
	captured := &capture{}
	spec.Stdout, spec.Stderr = w.Stdout(), w.Stderr()
	if a.program.Output == pack.OutputJSON {
		captured.to = w.Stdout()
		spec.Stdout = captured
	}
	res, err := a.supervise(ctx, spec)
	return a.outcome(res, err, captured, a.closeLogs(ctx, w))
}

// supervise runs the process while it listens for a cancel.
func (a *attempt) supervise(ctx context.Context, spec process.Spec) (ended, error) {
	runCtx, cancel := context.WithCancelCause(ctx)
	stop := a.watch(runCtx, cancel)
	res, err := a.r.launcher.Run(runCtx, spec)
	cause := context.Cause(runCtx)
	cancel(nil)
	stop()
	return ended{Result: res, cause: cause, lost: a.tenure.over()}, err
}

// ended is how the process ended, and why it was told to.
type ended struct {
	process.Result
	cause error
	lost  bool
}

func (a *attempt) closeLogs(ctx context.Context, w *logs.Writer) *streams.Output {
	ctx, stop := outlive(ctx, closing)
	defer stop()
	summary, err := w.Close(ctx)
	if err != nil {
		a.log.ErrorContext(ctx, "log not stored", slog.Any(logging.Error, err))
	}
	return &streams.Output{
		StdoutBytes: summary.Stdout.Written, StderrBytes: summary.Stderr.Written, Truncated: summary.Truncated() || err != nil,
	}
}

// outlive gives a context that ends some time after ctx has.
func outlive(ctx context.Context, by time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(by)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel(nil) }
}

// secrets fetches the values that the action declares, for an execution that is ours by now.
func (a *attempt) secrets(ctx context.Context) (map[string]string, error) {
	names := a.program.Secrets
	if len(names) == 0 {
		return map[string]string{}, nil
	}
	if a.r.Secrets == nil {
		return nil, &secretsError{errNoSecrets}
	}
	values, err := a.r.Secrets.Fetch(ctx, a.requested.ID, a.requested.Attempt, names)
	if err != nil {
		return nil, &secretsError{err}
	}
	return values, nil
}

var errNoSecrets = errors.New("this runner has no access to secrets")

type secretsError struct{ error }

func (e *secretsError) Unwrap() error { return e.error }

type internalError struct{ error }

func (e *internalError) Unwrap() error { return e.error }

// given is what a program reads from its standard input.
type given struct {
	Execution  about             `json:"execution"`
	Parameters json.RawMessage   `json:"parameters"`
	Secrets    map[string]string `json:"secrets"`
	Config     json.RawMessage   `json:"config"`
}

type about struct {
	ID          string    `json:"id"`
	Action      string    `json:"action"`
	Attempt     int       `json:"attempt"`
	Pack        string    `json:"pack"`
	Rule        string    `json:"rule,omitempty"`
	Event       string    `json:"event,omitempty"`
	RequestedAt time.Time `json:"requested_at"`
}

var emptyObject = json.RawMessage("{}")

func (a *attempt) spec(secrets map[string]string) (process.Spec, error) {
	f := a.requested.Fact
	parameters := f.Parameters
	if len(parameters) == 0 {
		parameters = emptyObject
	}
	ref, err := pack.ParseRef(f.Action)
	if err != nil {
		return process.Spec{}, &internalError{err}
	}
	stdin, err := json.Marshal(given{
		Execution:  about{ID: f.ID, Action: f.Action, Attempt: f.Attempt, Pack: ref.Pack, Rule: f.Rule, Event: f.Event, RequestedAt: f.RequestedAt},
		Parameters: parameters, Secrets: secrets, Config: emptyObject,
	})
	if err != nil {
		return process.Spec{}, &internalError{fmt.Errorf("encode input: %w", err)}
	}
	extra, err := a.variables(parameters, secrets)
	if err != nil {
		return process.Spec{}, &startError{err}
	}
	timeout := time.Duration(a.program.Timeout)
	if timeout == 0 {
		timeout = pack.DefaultTimeout
	}
	return process.Spec{
		Path: a.program.command.Path, Args: a.program.command.Args, Dir: a.seat.dir, Stdin: stdin, Extra: extra,
		Env: a.r.runtimes.Environ(runtime.Identity{
			Execution: f.ID, Action: f.Action, Attempt: f.Attempt, ResultFile: a.seat.resultFile(), WorkDir: a.seat.dir,
		}),
		Environ: runtime.EnvResultFile + "=" + a.seat.resultFile(),
		Timeout: timeout, Grace: a.r.Grace, Kill: a.tenure.lost,
	}, nil
}

func (a *attempt) variables(parameters json.RawMessage, secrets map[string]string) ([][]byte, error) {
	if !a.program.command.Variables {
		return nil, nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(parameters, &values); err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	hidden := make(map[string]json.RawMessage, len(secrets))
	for name, value := range secrets {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
		hidden[name] = text
	}
	text, err := runtime.Variables(values, hidden)
	return [][]byte{text}, err
}

// clear gives the seat back.
func (a *attempt) clear(ctx context.Context) {
	var err error
	switch {
	case a.seat == nil:
	case a.kept:
		err = a.seat.abandon()
	default:
		err = a.r.place.leave(a.seat)
	}
	if err != nil {
		a.log.WarnContext(ctx, "working folder not cleared", slog.Any(logging.Error, err))
	}
}
