package warm_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/attune/attune/pkg/warm"
)

// fake is a process that does what a test says.
type fake struct {
	action  warm.Action
	version int
	bytes   int64
	ready   chan struct{}
	gone    chan struct{}
	end     func()
	taken   atomic.Bool
}

func (f *fake) Ready() <-chan struct{} { return f.ready }
func (f *fake) Gone() <-chan struct{}  { return f.gone }
func (f *fake) Memory() int64          { return f.bytes }
func (f *fake) Discard()               { f.end() }

func (f *fake) alive() bool {
	select {
	case <-f.gone:
		return false
	default:
		return true
	}
}

const (
	megabyte = 1 << 20
	takes    = 50 * time.Millisecond // from the start of a process to its waiting
)

// world is a pool with what it started.
type world struct {
	t *testing.T
	*warm.Pool[int, *fake]
	stop func()

	mu    sync.Mutex
	all   []*fake
	bytes int64
	never bool  // processes never come to wait
	fails error // of starts
}

// inWorld runs a test with a pool, in time that is none.
func inWorld(t *testing.T, c warm.Config[int, *fake], test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, bytes: 10 * megabyte}
		c.Start = w.start
		w.Pool = warm.New(c)
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { w.Run(ctx) })
		w.stop = func() { cancel(); done.Wait() }
		defer w.stop()
		test(w)
		w.stop()
		synctest.Wait()
		for _, f := range w.living() {
			if !f.taken.Load() {
				t.Errorf("%+v is left", f.action)
			}
		}
	})
}

func (w *world) start(_ context.Context, a warm.Action, version int) (*fake, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails != nil {
		return nil, w.fails
	}
	f := &fake{action: a, version: version, bytes: w.bytes, ready: make(chan struct{}), gone: make(chan struct{})}
	f.end = sync.OnceFunc(func() { close(f.gone) })
	w.all = append(w.all, f)
	if !w.never {
		time.AfterFunc(takes, func() { close(f.ready) })
	}
	return f, nil
}

// change changes what is started from now on.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// living lists what runs.
func (w *world) living() (all []*fake) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.all {
		if f.alive() {
			all = append(all, f)
		}
	}
	return all
}

func (w *world) started() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all)
}

// after lets time pass.
func after(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in time that is none
	synctest.Wait()
}

func (w *world) expect(what string, ready int) {
	w.t.Helper()
	if got, starting := w.Count(); got != ready || starting != 0 {
		w.t.Errorf("%s: %d wait and %d are about to, want %d", what, got, starting, ready)
	}
}

func pack(version int, declared map[string]int) warm.Pack[int] {
	return warm.Pack[int]{Name: "p", Version: version, Declared: declared}
}

// take takes a process for an execution that was requested just now.
func (w *world) take(pk warm.Pack[int], action string) (*fake, bool) {
	w.t.Helper()
	f, ok := w.Take(pk, action, time.Now())
	if !ok {
		return nil, false
	}
	if f.taken.Load() || f.version != pk.Version || f.action != (warm.Action{Pack: pk.Name, Name: action}) {
		w.t.Errorf("%+v was given for %s, version %d", f, action, pk.Version)
	}
	f.taken.Store(true)
	return f, true
}

func TestAsManyWaitAsAreDeclared(t *testing.T) {
	t.Parallel()
	inWorld(t, warm.Config[int, *fake]{}, func(w *world) {
		pk := pack(1, map[string]int{"a": 3, "b": 1, "c": 0})
		w.Serve(pk, time.Now())
		for range 10 {
			after(takes)
			if _, starting := w.Count(); starting > 1 {
				t.Errorf("%d are started at once", starting)
			}
		}
		after(time.Second)
		w.expect("declared", 4)
		for range 3 {
			if f, ok := w.take(pk, "a"); !ok || !f.alive() {
				t.Errorf("took %+v, %v", f, ok)
			}
		}
		if f, ok := w.take(pk, "a"); ok {
			t.Errorf("a fourth: %+v", f)
		}
		after(time.Second)
		w.expect("replaced", 4)
		if w.started() != 7 {
			t.Errorf("%d were started", w.started())
		}
	})
}

func TestOneThatDoesNotWaitYetIsBetterThanNone(t *testing.T) {
	t.Parallel()
	inWorld(t, warm.Config[int, *fake]{AtOnce: 2}, func(w *world) {
		w.change(func() { w.never = true })
		pk := pack(1, map[string]int{"a": 2})
		w.Serve(pk, time.Now())
		after(time.Second)
		w.change(func() { w.never = false })
		if _, ok := w.take(pk, "a"); !ok {
			t.Error("it was not given")
		}
		after(time.Minute) // one that never comes to wait holds nothing up for long
		if f, ok := w.take(pk, "a"); !ok || f != w.all[2] {
			t.Errorf("took %+v, %v: another waits already", f, ok)
		}
	})
}

func TestNothingIsStartedWhileExecutionsAre(t *testing.T) {
	t.Parallel()
	inWorld(t, warm.Config[int, *fake]{AtOnce: 4}, func(w *world) {
		done := w.Starting()
		w.Serve(pack(1, map[string]int{"a": 4}), time.Now())
		after(900 * time.Millisecond)
		if w.started() != 0 {
			t.Errorf("%d were started", w.started())
		}
		after(200 * time.Millisecond)
		if w.started() != 1 {
			t.Errorf("%d were started after a second", w.started())
		}
		done()
		after(5 * time.Millisecond)
		if w.started() != 1 {
			t.Errorf("%d were started at once", w.started())
		}
		after(5 * time.Millisecond)
		if w.started() != 4 {
			t.Errorf("%d were started when there was nothing else", w.started())
		}
	})
}

func TestWhatHasWaitedForLongIsReplaced(t *testing.T) {
	t.Parallel()
	inWorld(t, warm.Config[int, *fake]{Age: time.Hour}, func(w *world) {
		w.Serve(pack(1, map[string]int{"a": 3}), time.Now())
		after(time.Minute)
		for range 24 * 60 {
			after(time.Minute)
			if ready, _ := w.Count(); ready < 3 || ready > 4 {
				t.Fatalf("%d wait", ready)
			}
		}
		if n := w.started(); n < 70 || n > 76 {
			t.Errorf("%d were started in a day", n)
		}
	})
}

func TestWhatEndsByItselfIsReplacedEverMoreSeldom(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]error{"processes": nil, "starts": errors.New("no")} {
		inWorld(t, warm.Config[int, *fake]{}, func(w *world) {
			pk, began := pack(1, map[string]int{"a": 1}), time.Now()
			w.change(func() { w.fails, w.never = fails, true })
			w.Serve(pk, began)
			for time.Since(began) < time.Hour {
				after(100 * time.Millisecond)
				for _, f := range w.living() {
					f.end()
				}
			}
			if n := w.started(); fails == nil && (n < 15 || n > 25) {
				t.Errorf("%s: %d were started within an hour", name, n)
			}
			w.change(func() { w.fails, w.never = nil, false })
			after(5 * time.Minute)
			w.expect(name+" that are well again", 1)
			w.living()[0].end()
			after(5*time.Minute + takes)
			if _, ok := w.take(pk, "a"); !ok {
				t.Errorf("%s: none waits", name)
			}
			after(time.Second)
			for range 2 { // what was used makes good what had failed
				w.expect(name, 1)
				for _, f := range w.living() {
					if !f.taken.Load() {
						f.end()
					}
				}
				after(2*time.Second + 2*takes)
			}
		})
	}
}

func TestAnActionThatIsStartedOftenIsHot(t *testing.T) {
	t.Parallel()
	inWorld(t, warm.Config[int, *fake]{Budget: 100 * megabyte, Age: 10 * time.Minute}, func(w *world) {
		pk := pack(1, map[string]int{"never": 0})
		for _, name := range []string{"seldom", "seldom", "never", "never", "never", "never", "a", "a", "a"} {
			if _, ok := w.take(pk, name); ok {
				t.Errorf("one waited for %s", name)
			}
		}
		after(time.Second)
		w.expect("often", 1)
		if _, ok := w.take(pk, "a"); !ok {
			t.Error("none waits for it")
		}
		for range 30 {
			w.take(pk, "a")
		}
		after(time.Second)
		w.expect("very often", 2)
		after(9 * time.Minute)
		w.expect("before they have waited for long", 2)
		after(2 * time.Minute)
		w.expect("afterwards", 0)
	})
}

func TestWhatIsHotFitsTheBudget(t *testing.T) {
	t.Parallel()
	inWorld(t, warm.Config[int, *fake]{Budget: 95 * megabyte}, func(w *world) {
		w.change(func() { w.bytes = 30 * megabyte })
		pk := pack(1, map[string]int{"declared": 1})
		w.Serve(pk, time.Now())
		after(time.Second)
		hot := func(name string) bool {
			_, ok := w.take(pk, name)
			w.take(pk, name)
			w.take(pk, name)
			after(time.Second)
			return ok
		}
		hot("a")
		hot("b")
		w.expect("two beside what is declared", 3)
		hot("c")
		w.expect("no third", 3)
		if hot("c") {
			t.Error("what another had just used made room")
		}
		after(50 * time.Second)
		hot("b")
		after(30 * time.Second)
		hot("c")
		if !hot("c") || hot("a") || !hot("b") || hot("a") {
			t.Error("it was not the one that was used least recently that made room")
		}
		w.change(func() { w.bytes = 100 * megabyte })
		hot("c")
		w.expect("what has grown is ended, but not what is declared", 1)
	})
}

func TestOnlyTheVersionInServiceHasProcesses(t *testing.T) {
	t.Parallel()
	inWorld(t, warm.Config[int, *fake]{AtOnce: 2}, func(w *world) {
		one, two := pack(1, map[string]int{"a": 2}), pack(2, map[string]int{"a": 1, "b": 1})
		began := time.Now()
		w.Serve(two, began)
		after(time.Second)
		w.Serve(one, began.Add(-time.Hour))
		after(time.Second)
		if f, ok := w.Take(one, "a", began); ok {
			t.Errorf("%+v was given for another version", f)
		}
		w.expect("the later one", 2)
		if _, ok := w.take(one, "a"); ok { // a rollback: an execution that was requested later wants the older
			t.Error("one of another version was given")
		}
		after(time.Second)
		w.expect("the older one", 2)
		if _, ok := w.take(one, "a"); !ok {
			t.Error("none waits for the older")
		}
		w.Renew("p", func(v int) int { return v })
		w.Renew("other", func(v int) int { return v + 1 })
		after(time.Second)
		before := w.started()
		w.Renew("p", func(v int) int { return v + 10 })
		after(time.Second)
		if w.started() != before+2 {
			t.Errorf("%d were started anew", w.started()-before)
		}
		if _, ok := w.take(pack(11, one.Declared), "a"); !ok {
			t.Error("none waits for what was renewed")
		}
		w.Forget(func(v int) bool { return v == 11 })
		after(time.Second)
		w.expect("none in service", 0)
	})
}

func TestAStartUnderWayIsEndedToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ended bool
		p := warm.New(warm.Config[int, *fake]{Start: func(ctx context.Context, a warm.Action, version int) (*fake, error) {
			<-ctx.Done()
			f := &fake{action: a, version: version, ready: make(chan struct{}), gone: make(chan struct{})}
			f.end = func() { ended = true }
			return f, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { p.Run(ctx) })
		p.Serve(pack(1, map[string]int{"a": 1}), time.Now())
		after(time.Second)
		if ready, starting := p.Count(); ready != 0 || starting != 1 {
			t.Errorf("%d, %d", ready, starting)
		}
		cancel()
		done.Wait()
		if !ended {
			t.Error("it is left")
		}
		if _, ok := p.Take(pack(1, nil), "a", time.Now()); ok {
			t.Error("one was given after the end")
		}
	})
}

// Whatever happens in whatever order, what is given is right, and what waits is no more than it may be.
func TestAnythingMayHappen(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		inWorld(t, warm.Config[int, *fake]{Budget: 60 * megabyte, AtOnce: 2, Age: 3 * time.Minute}, func(w *world) {
			r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same in every run
			packs := []warm.Pack[int]{pack(1, map[string]int{"a": 2}), pack(2, map[string]int{"a": 1, "b": 3}), pack(3, nil)}
			for range 400 {
				switch pk := packs[r.IntN(len(packs))]; r.IntN(8) {
				case 0:
					w.Serve(pk, time.Now().Add(-time.Duration(r.IntN(10))*time.Second))
				case 1:
					w.Forget(func(v int) bool { return v == pk.Version })
				case 2:
					if l := w.living(); len(l) > 0 {
						l[r.IntN(len(l))].end()
					}
				case 3:
					done := w.Starting()
					time.AfterFunc(time.Duration(r.IntN(3000))*time.Millisecond, done)
				default:
					if f, ok := w.take(pk, string(rune('a'+r.IntN(4)))); ok {
						f.end()
					}
				}
				after(time.Duration(r.IntN(2000)) * time.Millisecond)
				ready, starting := w.Count()
				if n := len(w.living()); n != ready+starting || ready+starting > 4+6 || starting > 2 {
					t.Fatalf("seed %d: %d live, %d wait, %d are about to", seed, n, ready, starting)
				}
			}
		})
	}
}
