// Package historybench measures history at a size: how long its lists take, what recording costs, and how fast retention
// is. It works on a PostgreSQL of its own, with the settings of `attune up`, and records with a recorder in a process
// of its own.
package historybench

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/database"
	"github.com/attune/attune/pkg/postgres"
	"github.com/attune/attune/services/attune/bench/figure"
)

// Options are the sizes of the measurement.
type Options struct {
	Scratch    string // folder to work in
	Dir        string // where the database is, which stays for the next time; "": in the scratch folder
	Executions int
	Samples    int
	Recorded   int
	Rate       int
	Grace      time.Duration
	Profile    string
}

// Defaults are sizes that fit into some minutes.
var Defaults = Options{Executions: 1_000_000, Samples: 200, Recorded: 20_000, Rate: 1_000, Grace: 5 * time.Second}

// Flags defines a flag for each size.
func (o *Options) Flags(f *flag.FlagSet) {
	f.IntVar(&o.Executions, "executions", o.Executions, "executions in history, an event and a decision for each")
	f.IntVar(&o.Samples, "samples", o.Samples, "how often each list is asked for in a round")
	f.IntVar(&o.Recorded, "recorded", o.Recorded, "executions that are recorded on top in a round")
	f.IntVar(&o.Rate, "rate", o.Rate, "executions a second that are recorded")
	f.StringVar(&o.Dir, "dir", "", "load history in this folder and leave it there, or use what was left")
	f.StringVar(&o.Profile, "profile", "", "write a profile of the recorder to this file")
}

// Bench is a PostgreSQL with history in it.
type Bench struct {
	o     Options
	say   func(string, ...any)
	url   string
	db    *pgxpool.Pool
	stop  context.CancelFunc
	ended chan error
}

// Open starts PostgreSQL and loads history.
func Open(ctx context.Context, o Options, say func(string, ...any)) (*Bench, error) {
	if o.Dir == "" {
		o.Dir = o.Scratch
	}
	if err := os.Chmod(o.Dir, 0o711); err != nil { // PostgreSQL's own user passes through
		return nil, err
	}
	server, err := postgres.New(ctx, postgres.Config{Dir: filepath.Join(o.Dir, "postgres"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	b := &Bench{o: o, say: say, url: server.URL(), ended: make(chan error, 1)}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	go func() { b.ended <- server.Run(serving) }()
	select {
	case <-server.Ready():
	case err := <-b.ended:
		stop()
		return nil, err
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), b.Close())
	}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bench) prepare(ctx context.Context) (err error) {
	if b.db, err = database.Open(ctx, b.url, database.Options{Name: "bench", Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	if err := database.Migrate(ctx, b.db); err != nil {
		return err
	}
	var loaded bool
	if err := b.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM executions)").Scan(&loaded); err != nil || loaded {
		return err
	}
	began := time.Now()
	b.say("loading %d executions", b.o.Executions)
	if err := load(ctx, b.db, b.o.Executions, began); err != nil {
		return err
	}
	var size string
	if err := b.db.QueryRow(ctx, "SELECT pg_size_pretty(pg_database_size(current_database()))").Scan(&size); err != nil {
		return err
	}
	b.say("loaded in %s; they take %s", time.Since(began).Round(time.Second), size)
	return nil
}

// Close stops PostgreSQL.
func (b *Bench) Close() error {
	if b.db != nil {
		b.db.Close()
	}
	b.stop()
	return <-b.ended
}

// Round asks for everything, and has executions recorded.
func (b *Bench) Round(ctx context.Context, run *figure.Run) error {
	if err := b.ask(ctx, run); err != nil {
		return err
	}
	r, err := b.record(ctx)
	if err != nil {
		return err
	}
	r.add(run)
	return nil
}

// ask measures what is asked of history, by one connection.
func (b *Bench) ask(ctx context.Context, run *figure.Run) error {
	db, err := database.Open(ctx, b.url, database.Options{Name: "bench", MaxConns: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := newSite(ctx, db, b.o.Executions)
	if err != nil {
		return err
	}
	lists, err := s.lists(ctx)
	if err != nil {
		return err
	}
	var backend int
	if err := db.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return err
	}
	all := append(append(lists, s.eventLists()...), s.upkeep()...)
	answers, err := askAll(ctx, b.o.Samples, backend, all)
	if err != nil {
		return err
	}
	b.say("%s", table(answers))
	for _, a := range answers {
		run.Add(figure.Figure{Name: a.name + ": p95", Unit: "ms"}, figure.Quantile(a.took, 0.95))
	}
	return nil
}
