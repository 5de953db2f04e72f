package runner

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// buildsAtOnce bounds the environments that are built at the same time.
const buildsAtOnce = 2

// installs has ready what the bucket INSTALLS asks of the runner's pool, and what executions ask for besides, and
// says how far it is.
type installs struct {
	bus     *bus.Bus
	store   *environment.Store
	archive func(ctx context.Context, digest string) (io.ReadCloser, error)
	logs    func() *logs.Store
	limits  logs.Limits
	again   func(ctx context.Context) error // looks once more for what the machine has
	gone    func(digest string)             // told of packs that are no longer wanted
	ready   readied                         // told of packs that are ready
	about   streams.Environment             // what all reports have in common
	reports *reports
	log     *slog.Logger
	spare   time.Duration // how long what nobody asks for is kept after a start or an outage
	free    chan struct{} // a token for each build that may begin
	work    sync.WaitGroup

	mu      sync.Mutex // guards the field below, and the fields of its entries
	entries map[string]*install
}

// install is a pack that is wanted. A try of it is under way while done is open.
type install struct {
	brief  streams.Install
	asked  bool // by INSTALLS, not by an execution alone
	tries  int  // of the generation tried
	tried  int
	done   chan struct{}
	err    error // of the last try
	cancel context.CancelFunc
}

func (i *install) underWay() bool {
	select {
	case <-i.done:
		return false
	default:
		return true
	}
}

func newInstalls(r *Runner) *installs {
	host, _ := os.Hostname() // it is only shown
	in := &installs{
		bus: r.Bus, store: r.store, archive: environment.Archives{JS: r.Bus.JS}.Open, logs: func() *logs.Store { return r.logs }, limits: r.Logs, gone: r.forgetPack, ready: r.serve,
		again: func(ctx context.Context) error { _, err := r.machine.look(ctx, true); return err },
		about: streams.Environment{Version: streams.Version, Runner: r.place.name, Pool: r.Pool, Host: host},
		log:   r.log, spare: r.Spare, free: make(chan struct{}, buildsAtOnce), entries: map[string]*install{},
		reports: newReports(r.Bus.JS, r.log),
	}
	for range buildsAtOnce {
		in.free <- struct{}{}
	}
	return in
}

// want has a pack ready, unless it is or has failed in this generation.
func (in *installs) want(ctx context.Context, b streams.Install) {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := in.entries[b.Digest]
	switch {
	case i == nil:
		in.begin(ctx, &install{brief: b, asked: true})
	case i.asked && i.brief.Generation >= b.Generation:
	case i.underWay():
		i.brief, i.asked = b, true // whoever does it looks again when it has ended
	default:
		i.brief, i.asked = b, true
		in.begin(ctx, i)
	}
}

// begin starts a try. Its caller holds mu.
func (in *installs) begin(ctx context.Context, i *install) {
	ctx, i.cancel = context.WithCancel(ctx)
	i.done, i.err = make(chan struct{}), nil
	if i.tries++; i.tried != i.brief.Generation {
		i.tries, i.tried = 1, i.brief.Generation
	}
	in.entries[i.brief.Digest] = i
	brief, asked, number := i.brief, i.asked, i.tries
	in.work.Go(func() {
		defer i.cancel()
		in.end(ctx, i, brief, in.try(ctx, brief, asked, number))
	})
}

// end notes what a try came to, and begins another when a later generation was asked for meanwhile.
func (in *installs) end(ctx context.Context, i *install, tried streams.Install, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	i.err = err
	close(i.done)
	wanted := in.entries[tried.Digest] == i
	switch {
	case !wanted:
	case i.brief.Generation > tried.Generation && ctx.Err() == nil:
		in.begin(context.WithoutCancel(ctx), i)
	case !i.asked && err != nil:
		delete(in.entries, tried.Digest) // the next execution tries again
	}
}

// forget drops a pack that is no longer wanted, and removes it after its last use.
func (in *installs) forget(digest string) {
	in.mu.Lock()
	if i := in.entries[digest]; i != nil {
		delete(in.entries, digest)
		i.cancel()
	}
	in.mu.Unlock()
	in.gone(digest)
	in.store.Retire(digest)
	in.reports.drop(streams.EnvironmentKey(digest, in.about.Runner))
}

// environment gives a pack for an execution, and waits while it is built. One that had failed fails at once.
func (in *installs) environment(ctx context.Context, digest string) (*environment.Environment, error) {
	for {
		e, err := in.store.Use(ctx, digest)
		if err == nil || !errors.Is(err, environment.ErrNotBuilt) {
			return e, err
		}
		i, done, err := in.join(ctx, digest)
		if err != nil {
			return nil, err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if err := in.failure(i); err != nil {
			return nil, err
		}
	}
}

// join gives the try under way, or begins one for a pack that nobody has tried, or that has changed since it was
// ready. After one that failed it gives the error.
func (in *installs) join(ctx context.Context, digest string) (*install, <-chan struct{}, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := in.entries[digest]
	switch {
	case i == nil:
		i = &install{brief: streams.Install{Digest: digest}}
		in.begin(context.WithoutCancel(ctx), i)
	case i.underWay():
	case i.err != nil:
		return nil, nil, i.err
	default:
		in.begin(context.WithoutCancel(ctx), i)
	}
	return i, i.done, nil
}

func (in *installs) failure(i *install) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return i.err
}

// try makes a pack ready and reports it.
func (in *installs) try(ctx context.Context, b streams.Install, asked bool, number int) error {
	t := &try{installs: in, ctx: ctx, brief: b, number: number, report: in.about, silent: !asked}
	t.report.Pack, t.report.PackVersion, t.report.Digest, t.report.Generation = b.Pack, b.PackVersion, b.Digest, b.Generation
	if e, err := in.store.Use(ctx, b.Digest); err == nil {
		defer e.Release()
		if len(e.Missing) == 0 || b.Generation <= 1 {
			in.ready(ctx, e, b.RequestedAt)
			t.installed(e)
			return nil
		}
	}
	select {
	case <-in.free:
		defer func() { in.free <- struct{}{} }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return t.build()
}

// close ends what is under way and waits for it.
func (in *installs) close() {
	in.mu.Lock()
	for _, i := range in.entries {
		i.cancel()
	}
	in.mu.Unlock()
	in.store.Close()
	in.work.Wait()
}
