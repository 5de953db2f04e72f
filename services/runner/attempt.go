package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/mask"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/streams"
)

// closing is how long a runner that stops goes on trying to store logs and to publish ends.
const closing = 10 * time.Second

// clearing bounds how long it may take to remove containers.
const clearing = 30 * time.Second

// attempt is one execution under way, from its claim to its end. One goroutine at a time uses it.
type attempt struct {
	r         *Runner
	log       *slog.Logger
	requested execution.State // what was asked for, parameters included
	state     execution.State // the last fact that is known
	tenure    *tenure         // the runner's when it claimed

	prepared chan error         // gets what prepare returns
	abandon  context.CancelFunc // ends prepare, and waits for it
	env      *environment.Environment
	program  *program
	seat     *seat
	user     uint32       // that of the program alone; 0: the runner's
	waiting  *spare       // the process that waited for it, if one did: seat and user are its
	held     *held        // the program, if it stands before its first instruction since before the claim
	started  func()       // says that its program has begun
	hide     *mask.Masker // of what no output may show; nil before that is known
	kept     bool         // its end waits in the spool
}

// begin makes ready what does not depend on the claim, in the background.
func (a *attempt) begin(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	a.prepared = make(chan error, 1)
	done := make(chan struct{})
	a.abandon = func() { cancel(); <-done }
	a.r.hands.do(func() {
		defer close(done)
		a.prepared <- a.prepare(ctx)
	})
}

// prepare fails with what the execution then fails of.
func (a *attempt) prepare(ctx context.Context) (err error) {
	if a.seat, err = a.r.place.take(); err != nil {
		return &internalError{err}
	}
	f := a.requested.Fact
	ref, err := pack.ParseRef(f.Action)
	if err != nil {
		return err
	}
	if a.env, err = a.r.installs.environment(ctx, f.PackDigest); err != nil {
		return fmt.Errorf("pack %s: %w", f.PackDigest, err)
	}
	a.program, err = a.r.packs.program(a.r.machine.current(), a.env, ref.Name, a.r.show)
	if err == nil {
		a.hold(ctx)
	}
	return err
}

// ready waits for prepare, until the execution must end.
func (a *attempt) ready(ctx context.Context) error {
	defer a.abandon()
	select {
	case err := <-a.prepared:
		if err == nil && a.tenure.over() {
			return errGivenUp
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-a.tenure.lost:
		return errGivenUp
	}
}

// run takes a claimed execution to its end.
func (a *attempt) run(ctx context.Context) {
	done := a.r.metrics.begin(a.requested.RequestedAt, a.state.At)
	defer a.clear(ctx)
	o := a.execute(ctx)
	a.finish(ctx, o)
	done(o.status)
}

// execute runs the process and tells how it ended.
func (a *attempt) execute(ctx context.Context) outcome {
	if o, ended := a.await(ctx); ended {
		return o
	}
	m, spec, err := a.input(ctx)
	if err != nil {
		return a.failure(err)
	}
	w, err := a.openLogs(ctx)
	if err != nil {
		return a.failure(&internalError{err})
	}
	out := a.connect(&spec, w.Stdout(), w.Stderr())
	res, err := a.supervise(ctx, spec, w, m.edition)
	out.close(a.log)
	res.excess = a.exceeded(w)
	m.wipe(spec)
	o := a.outcome(res, err, &out.captured)
	o.output = a.closeLogs(ctx, w, execution.Repeats(a.state.Fact, o.status))
	o.output.Held = err == nil && res.Held
	return o
}

// input is what the program is given. One that is held has it already.
func (a *attempt) input(ctx context.Context) (m material, spec process.Spec, err error) {
	if a.held != nil {
		m, spec = a.held.material, a.held.spec
	} else if m, err = a.material(ctx, a.fetch); err != nil {
		return m, spec, err
	}
	a.hide = mask.New(m.hidden()...)
	if a.held == nil {
		spec, err = a.spec(m)
	}
	return m, spec, err
}

// await waits until the program can be started. It may be canceled or lost before.
func (a *attempt) await(ctx context.Context) (o outcome, ended bool) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := a.watch(ctx, cancel)
	err := a.ready(ctx)
	cause := context.Cause(ctx)
	cancel(nil)
	stop()
	switch {
	case err == nil:
		return outcome{}, false
	case cause == nil && !a.tenure.over():
		return a.failure(err), true
	}
	o.status, o.err = a.verdict(stopped(cause, a.tenure.over()))
	return o, true
}

// openLogs begins the execution's log, or goes on with that of the attempts before.
func (a *attempt) openLogs(ctx context.Context) (*logs.Writer, error) {
	limits, of := a.r.Logs.For(a.program.Logs), logs.Source{Header: streams.HeaderAction, Name: a.requested.Action}
	if a.requested.Attempt > 1 {
		return a.r.logs.Continue(ctx, a.requested.ID, of, limits)
	}
	return a.r.logs.NewWriter(a.requested.ID, of, limits)
}

// supervise runs the process while it listens for a cancel.
func (a *attempt) supervise(ctx context.Context, spec process.Spec, w *logs.Writer, edition uint64) (ended, error) {
	runCtx, cancel := context.WithCancelCause(ctx)
	stop := a.watch(runCtx, cancel)
	stopLimit := a.endAtLimit(runCtx, w, cancel)
	res, err := a.perform(runCtx, spec, edition)
	cause := context.Cause(runCtx)
	cancel(nil)
	stop()
	stopLimit()
	a.clearContainer(ctx, res)
	return ended{Result: res, cause: cause, lost: a.tenure.over()}, err
}

// ended is how the process ended, and why it was told to.
type ended struct {
	process.Result
	cause  error
	lost   bool
	excess *logs.Excess // the limit that the output went over, which fails the execution; nil: none
}

// stopped is the end of what was told to end before it was started.
func stopped(cause error, lost bool) ended {
	return ended{Result: process.Result{Canceled: true}, cause: cause, lost: lost}
}

// closeLogs stores the log, which another attempt may go on with.
func (a *attempt) closeLogs(ctx context.Context, w *logs.Writer, again bool) *streams.Output {
	ctx, stop := outlive(ctx, closing)
	defer stop()
	done := w.Close
	if again {
		done = w.Suspend
	}
	summary, err := done(ctx)
	if err != nil {
		a.log.ErrorContext(ctx, "log not stored", slog.Any(logging.Error, err))
	}
	return &streams.Output{
		StdoutBytes: summary.Stdout.Written, StderrBytes: summary.Stderr.Written,
		Truncated: summary.Truncated() || err != nil, Dropped: summary.Dropped(),
		LogBytes: summary.LogBytes, StoredBytes: summary.StoredBytes, Incomplete: errors.Is(err, logs.ErrNotStored),
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

// spec is what the program is given, whichever process is to run it.
func (a *attempt) spec(m material) (process.Spec, error) {
	f := a.requested.Fact
	ref, err := pack.ParseRef(f.Action)
	if err != nil {
		return process.Spec{}, &internalError{err}
	}
	stdin, err := json.Marshal(given{
		Execution:  about{ID: f.ID, Action: f.Action, Attempt: f.Attempt, Pack: ref.Pack, Rule: f.Rule, Event: f.Event, RequestedAt: f.RequestedAt},
		Parameters: m.parameters, Secrets: m.secrets, Config: m.config,
	})
	if err != nil {
		return process.Spec{}, &internalError{fmt.Errorf("encode input: %w", err)}
	}
	extra, err := a.variables(m.parameters, m.secrets)
	if err != nil {
		return process.Spec{}, &startError{err}
	}
	timeout := time.Duration(a.program.Timeout)
	if timeout == 0 {
		timeout = pack.DefaultTimeout
	}
	return process.Spec{Stdin: stdin, Extra: extra, Timeout: timeout, Grace: a.r.Grace, Kill: a.tenure.lost}, nil
}

// perform runs the program: the one that is held, in a process that has waited for it, or else in a new one.
func (a *attempt) perform(ctx context.Context, spec process.Spec, edition uint64) (process.Result, error) {
	if a.held != nil {
		return a.held.Run(ctx, a.work(spec, startCold))
	}
	if a.sit(edition) {
		res, err := a.waiting.Run(ctx, a.work(spec, startWarm))
		if !errors.Is(err, process.ErrUnused) {
			return res, err
		}
		a.log.DebugContext(ctx, "the process that waited has ended, starting another")
		if err := a.stand(); err != nil {
			return process.Result{}, err
		}
	}
	if err := a.arrange(&spec); err != nil {
		return process.Result{}, err
	}
	spec.Started = func(int) { a.begun(startCold) }
	return a.r.launcher.Run(ctx, spec)
}

// work is what a process is given that was started before.
func (a *attempt) work(spec process.Spec, kind string) process.Work {
	return process.Work{
		Stdin: spec.Stdin, Stdout: spec.Stdout, Stderr: spec.Stderr, Timeout: spec.Timeout, Grace: spec.Grace, Kill: spec.Kill,
		Given: func() { a.begun(kind) },
	}
}

// arrange says how a new process is started, and gives it a user.
func (a *attempt) arrange(spec *process.Spec) error {
	policy, user, err := a.r.settle(a.seat, a.program)
	if a.user = user; err != nil {
		return err
	}
	p := a.r.machine.current().Program(a.program.command, a.identity())
	spec.Path, spec.Args, spec.Env, spec.Dir, spec.Sandbox = p.Path, p.Args, p.Env, a.seat.dir, policy
	spec.Environ = runtime.EnvResultFile + "=" + a.seat.resultFile()
	return nil
}

// begun says that the program has begun.
func (a *attempt) begun(kind string) {
	a.r.metrics.starts.WithLabelValues(kind).Inc()
	a.started()
}

func (a *attempt) identity() runtime.Identity {
	f := a.requested.Fact
	return runtime.Identity{
		Execution: f.ID, Action: f.Action, Attempt: f.Attempt, ResultFile: a.seat.resultFile(), WorkDir: a.seat.dir,
	}
}

// clearContainer removes the container of a program that was made to end: its engine had no time to.
func (a *attempt) clearContainer(ctx context.Context, res process.Result) {
	if !res.TimedOut && !res.Canceled && res.Signal == 0 && res.LeftBehind == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearing)
	defer cancel()
	if err := a.r.machine.current().Clear(ctx, a.program.command, a.identity()); err != nil {
		a.log.WarnContext(ctx, "container not removed", slog.Any(logging.Error, err))
	}
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

// clear gives the seat and the pack back. A program that is held yet ends without having run.
func (a *attempt) clear(ctx context.Context) {
	if a.held != nil {
		a.held.Discard()
	}
	if a.env != nil {
		a.env.Release()
	}
	var err error
	switch {
	case a.seat == nil:
	case a.kept:
		err = a.seat.abandon()
	default:
		err = a.r.place.leave(a.seat)
	}
	a.r.sandbox.GiveUser(a.user)
	if a.waiting != nil {
		a.waiting.env.Release()
	}
	if err != nil {
		a.log.WarnContext(ctx, "working folder not cleared", slog.Any(logging.Error, err))
	}
}
