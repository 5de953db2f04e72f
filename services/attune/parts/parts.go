package parts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
)

// Names of the services, as the command line has them.
const (
	Recorder  = "recorder"
	API       = "api"
	Scheduler = "scheduler"
	Runner    = "runner"
	Rules     = "rules"
	Sensors   = "sensors"
)

// Process is what the services of one process share.
type Process struct {
	Config   config.Config
	Version  string
	ID       string                                          // unique to this process
	Connect  func(context.Context, string) (*bus.Bus, error) // a connection of its own for each service
	DB       *pgxpool.Pool                                   // nil in a process that runs no service which needs one
	DataDir  string                                          // absolute
	Listener net.Listener                                    // of the API; nil without it
	Token    string                                          // of the API's administrator; empty without it
	Logger   *slog.Logger
	Registry *prometheus.Registry
}

// ErrCutOff ends a service whose connection to NATS is closed for good: the server does not let its user in any more.
var ErrCutOff = errors.New("NATS ended the connection for good")

// ErrUnknown is returned for a name that no service has.
var ErrUnknown = errors.New("no such service")

// Names lists all services.
func Names() []string { return []string{API, Sensors, Rules, Scheduler, Runner, Recorder} }

// NeedsDatabase tells whether a service works with PostgreSQL. The runner does not: it holds no credentials
// of the database.
func NeedsDatabase(name string) bool { return name != Runner }

// Service gives a service by its name. It makes its own connection to NATS when it is run, and closes it when
// it has stopped.
func (p Process) Service(name string) (lifecycle.Named, error) {
	build, ok := builders[name]
	if !ok {
		return lifecycle.Named{}, fmt.Errorf("service %q: %w", name, ErrUnknown)
	}
	return lifecycle.Named{Name: name, Service: lifecycle.Func(func(ctx context.Context) error {
		b, err := p.Connect(ctx, name)
		if err != nil {
			return err
		}
		defer b.Close()
		ctx, fail := context.WithCancelCause(ctx)
		defer fail(nil)
		b.Conn.SetClosedHandler(func(c *nats.Conn) { fail(fmt.Errorf("%w: %w", ErrCutOff, c.LastError())) })
		s, err := build(ctx, p, b, p.Logger.With(slog.String(logging.Service, name)))
		if err != nil {
			return err
		}
		return s.Run(ctx)
	})}, nil
}

// Services gives several services by their names.
func (p Process) Services(names ...string) ([]lifecycle.Named, error) {
	all := make([]lifecycle.Named, len(names))
	var errs []error
	for i, name := range names {
		var err error
		all[i], err = p.Service(name)
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

// NewRegistry makes the registry of a process's metrics, with those of the process itself.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
