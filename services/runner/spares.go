package runner

import (
	"context"
	"errors"
	"log/slog"
	goruntime "runtime"
	"time"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/warm"
)

var (
	// errNoSpares is returned when a program cannot wait for its execution.
	errNoSpares = errors.New("its runtime has no processes that wait")
	// errOutdated is returned when a pack was built anew meanwhile.
	errOutdated = errors.New("the pack was built anew")
	// errFewUsers is returned when as many users are taken that executions might lack one.
	errFewUsers = errors.New("the users that are left are for executions")
)

// generation is what a spare is started from: a spare of another one is never used. The spare does not hold the
// configuration, but what it has loaded may be about to.
type generation struct {
	env     *environment.Environment
	edition uint64 // of the pack's configuration
}

// spare is a process that waits for an execution, with what the execution will need of the machine. Its sandbox is
// that of any process of the action; what it waits for comes on standard input.
type spare struct {
	*process.Spare
	r      *Runner
	action warm.Action
	env    *environment.Environment
	seat   *seat
	user   uint32
}

// openSpares makes what has spares waiting. Few are started at a time: nobody waits for them.
func (r *Runner) openSpares() {
	r.spares = warm.New(warm.Config[generation, *spare]{
		Start: r.startSpare, Budget: r.WarmMemory, Age: r.WarmAge, AtOnce: max(1, goruntime.NumCPU()/2), Logger: r.log,
	})
	r.metrics.spares(r.Registerer, r.spares.Count)
}

// startSpare starts a process that waits for an execution.
func (r *Runner) startSpare(ctx context.Context, a warm.Action, g generation) (s *spare, err error) {
	s = &spare{r: r, action: a}
	defer func() {
		if err != nil {
			s.giveBack()
		}
	}()
	if left, limited := r.sandbox.UsersLeft(); limited && left <= r.Slots {
		return nil, errFewUsers
	}
	if s.env, err = r.store.Use(ctx, g.env.Digest); err != nil {
		return nil, err
	}
	if s.env != g.env {
		return nil, errOutdated
	}
	set := r.machine.current()
	p, err := r.packs.program(set, s.env, a.Name, r.show)
	if err != nil {
		return nil, err
	}
	if p.command.Spare == nil {
		return nil, errNoSpares
	}
	if s.seat, err = r.place.take(); err != nil {
		return nil, err
	}
	return s, s.start(p, set.SpareProgram(p.command, pack.Ref{Pack: a.Pack, Name: a.Name}.String(), s.seat.dir, s.seat.resultFile()))
}

func (s *spare) start(p *program, run runtime.Program) (err error) {
	spec := process.Spec{
		Path: run.Path, Args: run.Args, Env: run.Env, Dir: s.seat.dir, Environ: runtime.EnvResultFile + "=" + s.seat.resultFile(),
	}
	if spec.Sandbox, s.user, err = s.r.settle(s.seat, p); err != nil {
		return err
	}
	s.Spare, err = s.r.launcher.Start(spec)
	return err
}

// Discard ends the process, and gives back what was for its execution.
func (s *spare) Discard() {
	s.Spare.Discard()
	s.giveBack()
}

func (s *spare) giveBack() {
	if s.seat != nil {
		if err := s.r.place.leave(s.seat); err != nil {
			s.r.log.Warn("working folder of a spare not cleared", slog.Any(logging.Error, err))
		}
	}
	s.r.sandbox.GiveUser(s.user)
	if s.env != nil {
		s.env.Release()
	}
}

// sit has the execution use a process that waits, if one does. Whatever was made ready for a new one is given back.
func (a *attempt) sit(edition uint64) bool {
	if a.program.command.Spare == nil {
		return false
	}
	pk, err := a.r.served(a.env, edition)
	if err != nil {
		return false // it is read already, or there would be no program
	}
	s, ok := a.r.spares.Take(pk, a.program.Name, a.requested.RequestedAt)
	if !ok {
		return false
	}
	a.r.place.untouched(a.seat)
	a.waiting, a.seat, a.user = s, s.seat, s.user
	return true
}

// stand gives back a process that had ended before it was used, and makes ready for a new one.
func (a *attempt) stand() error {
	s := a.waiting
	a.waiting, a.seat, a.user = nil, nil, 0
	a.r.spares.Unused(s.action)
	s.giveBack()
	var err error
	a.seat, err = a.r.place.take()
	return err
}

// readied is told that a pack was made ready at a time.
type readied func(ctx context.Context, env *environment.Environment, at time.Time)

// serve has processes wait for a pack that was made ready, unless executions say that another version is in service.
func (r *Runner) serve(ctx context.Context, env *environment.Environment, at time.Time) {
	pk, err := r.served(env, 0)
	if err != nil {
		r.log.WarnContext(ctx, "nothing waits for a pack", slog.String("digest", env.Digest), slog.Any(logging.Error, err))
		return
	}
	pk.Version.edition = r.configs.pack(pk.Name).edition
	r.spares.Serve(pk, at)
}

// served is a pack as it has processes waiting.
func (r *Runner) served(env *environment.Environment, edition uint64) (warm.Pack[generation], error) {
	name, declared, err := r.packs.opened(env).waiting(r)
	return warm.Pack[generation]{Name: name, Version: generation{env, edition}, Declared: declared}, err
}

// configured has processes wait anew for a pack whose configuration has changed.
func (r *Runner) configured(name string, edition uint64) {
	r.spares.Renew(name, func(g generation) generation { return generation{g.env, edition} })
}

// forgetPack drops what was made for a version of a pack that is no longer wanted.
func (r *Runner) forgetPack(digest string) {
	r.packs.forget(digest)
	r.spares.Forget(func(g generation) bool { return g.env.Digest == digest })
}

// waiting tells how many processes are to wait for which action of the pack, as the actions declare. For one that this
// runner does not run, or whose program cannot wait, it is none.
func (o *opened) waiting(r *Runner) (name string, declared map[string]int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.read(); err != nil {
		return "", nil, err
	}
	if o.declared != nil {
		return o.name, o.declared, nil
	}
	o.declared = map[string]int{}
	for _, a := range o.warm {
		o.declared[a.Name] = 0
		if d, _ := runtime.Define(r.defined, a.Runtime); *a.Warm > 0 && len(d.Run.Spare) > 0 && r.fits(o.ranges, a) {
			o.declared[a.Name] = *a.Warm
		}
	}
	return o.name, o.declared, nil
}

// fits tells whether executions of an action come to this runner.
func (r *Runner) fits(ranges map[string]string, a pack.Action) bool {
	of := placement.Of(ranges, a)
	return of.Pool == r.Pool && len(placement.Missing(of, r.info())) == 0
}
