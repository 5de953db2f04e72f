package warm

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/attune/attune/pkg/logging"
)

const (
	// lull is how long after the start of an execution nothing is started that is only to wait.
	lull = 10 * time.Millisecond
	// patience bounds how long the starts of executions may hold up what is to wait.
	patience = time.Second
	// loading is how long a process counts as being started. One that takes longer is slow, or does not come to wait.
	loading = 10 * time.Second
	// glance is how often memory is measured, and how long nothing is looked at when nothing happens.
	glance = time.Minute
	// rest is for how long an action is not to have been used before what waits for it makes room for another.
	rest = time.Minute
)

// pass ends what need not wait any more, and starts what is to. It gives the time after which to look again.
func (p *Pool[V, P]) pass(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := slices.SortedFunc(maps.Values(p.lines), func(a, b *line[P]) int {
		return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.action.Pack, b.action.Pack), cmp.Compare(a.action.Name, b.action.Name))
	})
	p.measure(now)
	for _, l := range lines {
		wanted, _ := p.wanted(l, now)
		for s := l.worn(now, p.Age, wanted); s != nil; s = l.worn(now, p.Age, wanted) {
			p.end(l, s)
		}
		if len(l.spares)+l.calls+wanted == 0 && now.Sub(l.used) > p.Age {
			delete(p.lines, l.action)
		}
	}
	p.fit(lines, now)
	return p.fill(lines, now)
}

// wanted is how many are to wait for an action, and whether it declares that.
func (p *Pool[V, P]) wanted(l *line[P], now time.Time) (n int, declared bool) {
	s := p.packs[l.action.Pack]
	if s == nil {
		return 0, false
	}
	if n, declared = s.Declared[l.action.Name]; declared {
		return n, true
	}
	if p.Budget <= 0 {
		return 0, false
	}
	return l.hot(now), false
}

// measure looks at the memory of all that waits, once in a while.
func (p *Pool[V, P]) measure(now time.Time) {
	if now.Sub(p.measured) < glance {
		return
	}
	p.measured = now
	for _, l := range p.lines {
		for _, s := range l.spares {
			if s.ready {
				s.bytes = s.process.Memory()
			}
		}
	}
}

// memory is that of all that waits.
func (p *Pool[V, P]) memory() (all int64) {
	for _, l := range p.lines {
		all += l.memory()
	}
	return all
}

// fit ends what was not declared until all that waits is within the budget, the least recently used first.
func (p *Pool[V, P]) fit(lines []*line[P], now time.Time) {
	for _, l := range slices.Backward(lines) {
		if _, declared := p.wanted(l, now); declared {
			continue
		}
		for len(l.spares) > 0 && p.memory() > p.Budget {
			p.end(l, l.spares[0])
		}
	}
}

// room tells whether one more fits the budget, and ends for it what waits for actions that rest.
func (p *Pool[V, P]) room(lines []*line[P], wants *line[P], now time.Time) bool {
	over := p.memory() + wants.size() - p.Budget
	var ends []*line[P]
	for _, l := range slices.Backward(lines) {
		_, declared := p.wanted(l, now)
		for n := len(l.spares); over > 0 && n > 0 && !declared && now.Sub(l.used) >= rest; n-- {
			ends = append(ends, l)
			over -= l.spares[len(l.spares)-n].memory(l)
		}
	}
	if over > 0 {
		return false
	}
	for _, l := range ends {
		p.end(l, l.spares[0])
	}
	return true
}

// fill starts what is to wait, what was declared first, and gives the time after which to look again.
func (p *Pool[V, P]) fill(lines []*line[P], now time.Time) time.Duration {
	again := p.nextAge(now)
	for _, declared := range []bool{true, false} {
		for _, l := range lines {
			for p.lacks(l, declared, now) {
				if wait := l.retry.Sub(now); wait > 0 {
					again = min(again, wait)
					break
				}
				if !declared && !p.room(lines, l, now) {
					break
				}
				if wait := p.hold(now); wait > 0 {
					return min(again, wait)
				}
				p.start(l)
			}
		}
	}
	p.due = time.Time{}
	return again
}

// lacks tells whether fewer wait than are wanted, which was declared or not.
func (p *Pool[V, P]) lacks(l *line[P], declared bool, now time.Time) bool {
	wanted, is := p.wanted(l, now)
	return is == declared && l.young(now, p.Age) < wanted
}

// hold is for how long nothing may be started; 0: now.
func (p *Pool[V, P]) hold(now time.Time) time.Duration {
	if wait := p.full(now); wait > 0 {
		return wait
	}
	if p.due.IsZero() {
		p.due = now
	}
	most := p.due.Add(patience).Sub(now)
	if p.starts == 0 {
		most = min(most, p.quiet.Add(lull).Sub(now))
	}
	if most <= 0 {
		p.due = time.Time{}
	}
	return most
}

// full is for how long as many are being started as may be; 0: they are not.
func (p *Pool[V, P]) full(now time.Time) time.Duration {
	n, wait := p.calls, loading
	for _, l := range p.lines {
		for _, s := range l.spares {
			if left := loading - now.Sub(s.born); !s.ready && left > 0 {
				n++
				wait = min(wait, left)
			}
		}
	}
	if n < p.AtOnce {
		return 0
	}
	return wait
}

// nextAge is when the next one has waited for too long.
func (p *Pool[V, P]) nextAge(now time.Time) time.Duration {
	again := glance
	for _, l := range p.lines {
		for _, s := range l.spares {
			if left := p.Age - now.Sub(s.born); left > 0 {
				again = min(again, left)
			}
		}
	}
	return again
}

// start starts one in the background. Its caller holds mu.
func (p *Pool[V, P]) start(l *line[P]) {
	p.calls++
	l.calls++
	ctx, version := p.ctx, p.packs[l.action.Pack].Version
	p.work.Go(func() {
		process, err := p.Start(ctx, l.action, version)
		p.mu.Lock()
		defer p.mu.Unlock()
		defer p.tell()
		p.calls--
		l.calls--
		if err != nil {
			if ctx.Err() == nil {
				l.fail(time.Now())
				p.Logger.DebugContext(ctx, "no process waits", slog.String(logging.Pack, l.action.Pack), slog.String(logging.Action, l.action.Name), slog.Any(logging.Error, err))
			}
			return
		}
		s := &spare[P]{process: process, born: time.Now(), out: make(chan struct{})}
		l.spares = append(l.spares, s)
		p.work.Go(func() { p.watch(l, s) })
		if now := p.packs[l.action.Pack]; !p.open || now == nil || now.Version != version {
			p.end(l, s)
		}
	})
}

// watch notices that a process waits, and that it has ended, for as long as it is in the pool.
func (p *Pool[V, P]) watch(l *line[P], s *spare[P]) {
	for ready := s.process.Ready(); ; {
		select {
		case <-ready:
			ready = nil
			p.readied(l, s)
		case <-s.process.Gone():
			p.lost(l, s)
			return
		case <-s.out:
			return
		}
	}
}

func (p *Pool[V, P]) readied(l *line[P], s *spare[P]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.ready, s.bytes = true, s.process.Memory()
	l.bytes = s.bytes
	p.tell()
}

// lost takes out one that has ended by itself.
func (p *Pool[V, P]) lost(l *line[P], s *spare[P]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !l.remove(s) {
		return
	}
	l.fail(time.Now())
	p.Logger.DebugContext(p.ctx, "a process that waited has ended", slog.String(logging.Pack, l.action.Pack), slog.String(logging.Action, l.action.Name), slog.Int("failures", l.failures))
	p.discard(s)
	p.tell()
}

// clear ends all of a line. Its caller holds mu.
func (p *Pool[V, P]) clear(l *line[P]) {
	for len(l.spares) > 0 {
		p.end(l, l.spares[0])
	}
}

// end ends one. Its caller holds mu.
func (p *Pool[V, P]) end(l *line[P], s *spare[P]) {
	if l.remove(s) {
		p.discard(s)
	}
}

func (p *Pool[V, P]) discard(s *spare[P]) { p.work.Go(s.process.Discard) }
