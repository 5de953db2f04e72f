package warm

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Process is something that was started before there is work for it.
type Process interface {
	Ready() <-chan struct{} // closed when it waits
	Gone() <-chan struct{}  // closed when it has ended
	Memory() int64          // what it has in memory, in bytes
	Discard()               // ends it, and returns when nothing of it is left
}

// Action names what a process waits to do.
type Action struct{ Pack, Name string }

// Pack is a version of a pack, and how many processes its actions declare to have waiting. An action that declares none
// never has any; one that declares nothing has some when it is started often.
type Pack[V comparable] struct {
	Name     string
	Version  V
	Declared map[string]int
}

// Config describes a Pool. Start is required.
type Config[V comparable, P Process] struct {
	Start  func(ctx context.Context, a Action, v V) (P, error)
	Budget int64         // of memory, in bytes, beyond which nothing waits that was not declared; 0: nothing does
	Age    time.Duration // how long a process waits at most; 0: DefaultAge
	AtOnce int           // how many are started at a time; 0: one
	Logger *slog.Logger
}

// DefaultAge is how long a process waits at most.
const DefaultAge = 10 * time.Minute

// Pool keeps processes waiting. Its methods may be called by many goroutines.
type Pool[V comparable, P Process] struct {
	Config[V, P]
	wake chan struct{}  // has a token when something has changed
	work sync.WaitGroup // goroutines of processes

	mu       sync.Mutex // guards the fields below, and what they lead to
	ctx      context.Context
	open     bool // Run is under way
	packs    map[string]*service[V]
	lines    map[Action]*line[P]
	calls    int       // of Start that have not returned
	due      time.Time // since when a process is to be started and was not; zero: none is
	starts   int       // of executions, under way
	quiet    time.Time // when the last of these was over
	measured time.Time
}

// service is the version of a pack that executions come for.
type service[V comparable] struct {
	Pack[V]
	since time.Time // the latest that is known of it
}

// New makes a pool. Nothing waits before Run.
func New[V comparable, P Process](c Config[V, P]) *Pool[V, P] {
	if c.Age == 0 {
		c.Age = DefaultAge
	}
	if c.AtOnce == 0 {
		c.AtOnce = 1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Pool[V, P]{Config: c, wake: make(chan struct{}, 1), packs: map[string]*service[V]{}, lines: map[Action]*line[P]{}}
}

// Run has processes waiting until ctx ends, and then ends them.
func (p *Pool[V, P]) Run(ctx context.Context) {
	p.mu.Lock()
	p.ctx, p.open = ctx, true
	p.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(p.pass(time.Now()))
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-timer.C:
		}
	}
	p.mu.Lock()
	p.open = false
	for _, l := range p.lines {
		p.clear(l)
	}
	p.mu.Unlock()
	p.work.Wait()
}

// Serve says that a version of a pack was in service at a time. Of two versions the one counts of which there is later
// word, and only for it processes wait.
func (p *Pool[V, P]) Serve(pk Pack[V], at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve(pk, at)
}

func (p *Pool[V, P]) serve(pk Pack[V], at time.Time) {
	before := p.packs[pk.Name]
	switch {
	case before == nil:
	case before.Version == pk.Version:
		if at.After(before.since) {
			before.since = at
		}
		return
	case !at.After(before.since):
		return
	}
	p.packs[pk.Name] = &service[V]{Pack: pk, since: at}
	p.restart(pk.Name)
	for name, n := range pk.Declared {
		if n > 0 {
			p.line(Action{pk.Name, name})
		}
	}
	p.tell()
}

// restart ends what waits for the actions of a pack, and forgets what had gone wrong with it.
func (p *Pool[V, P]) restart(pack string) {
	for a, l := range p.lines {
		if a.Pack == pack {
			p.clear(l)
			l.failures, l.retry = 0, time.Time{}
		}
	}
}

// Renew changes the version of a pack that is in service.
func (p *Pool[V, P]) Renew(pack string, change func(V) V) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.packs[pack]
	if s == nil {
		return
	}
	version := change(s.Version)
	if version == s.Version {
		return
	}
	s.Version, s.since = version, time.Now()
	p.restart(pack)
	p.tell()
}

// Forget ends what waits for versions that are gone.
func (p *Pool[V, P]) Forget(gone func(V) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, s := range p.packs {
		if gone(s.Version) {
			delete(p.packs, name)
			p.restart(name)
		}
	}
}

// Starting says that an execution is being started, until the returned function is called.
func (p *Pool[V, P]) Starting() (done func()) {
	p.mu.Lock()
	p.starts++
	p.mu.Unlock()
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.starts--
		p.quiet = time.Now()
		if !p.due.IsZero() {
			p.tell()
		}
	})
}

// Take gives a process that waits for an action of a version of a pack, for an execution that was requested at a time.
// It is the caller's from then on. One that does not wait yet may be given, which is still faster than a new one.
func (p *Pool[V, P]) Take(pk Pack[V], action string, at time.Time) (process P, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve(pk, at)
	l := p.line(Action{pk.Name, action})
	l.use(time.Now())
	defer p.tell()
	if p.packs[pk.Name].Version != pk.Version {
		return process, false
	}
	s := l.pick()
	if s == nil {
		return process, false
	}
	if s.ready {
		l.failures = 0
	}
	l.remove(s)
	return s.process, true
}

// Unused says that a process which was taken had ended before its execution.
func (p *Pool[V, P]) Unused(a Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lines[a]; l != nil {
		l.fail(time.Now())
	}
}

// Count tells how many processes wait, and how many are about to.
func (p *Pool[V, P]) Count() (ready, starting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	starting = p.calls
	for _, l := range p.lines {
		for _, s := range l.spares {
			if s.ready {
				ready++
			} else {
				starting++
			}
		}
	}
	return ready, starting
}

// tell has Run look again.
func (p *Pool[V, P]) tell() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// line gives that of an action. Its caller holds mu.
func (p *Pool[V, P]) line(a Action) *line[P] {
	l := p.lines[a]
	if l == nil {
		l = &line[P]{action: a}
		p.lines[a] = l
	}
	return l
}
