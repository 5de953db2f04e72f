package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/authority"
	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/database"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/postgres"
	"github.com/attune/attune/services/attune/local"
	"github.com/attune/attune/services/attune/parts"
	"github.com/attune/attune/streams"
)

// ErrPortTaken is returned when something else listens on the API's address.
var ErrPortTaken = errors.New("address already in use")

// machine is one run of `attune up`.
type machine struct {
	cfg     config.Config
	version string
	log     *slog.Logger
	out     io.Writer
	unhook  func() // lets the next signal end the process

	folder   *local.Folder
	listener net.Listener
	token    string
	apiCA    string // file with the API's certificate, if it has one
	apiName  string // that the certificate is for
	layers   *parts.Layers
	nats     *natsserver.Server // nil when others are used
	bus      *bus.Bus
	db       *pgxpool.Pool
	dbURL    string
}

// run starts everything, waits for the end of ctx, and stops everything.
func (m *machine) run(ctx context.Context) error {
	begun := time.Now()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	m.layers = &parts.Layers{Logger: m.log, Fail: fail}
	m.log.DebugContext(ctx, "starting", slog.Any("config", m.cfg))
	errStart := m.start(ctx)
	if errStart == nil {
		m.greet(time.Since(begun))
		<-ctx.Done()
		m.unhook()
		m.log.InfoContext(ctx, "stopping: running executions are finished first, a second signal ends them", slog.Duration("at_most", m.cfg.Drain))
	}
	return m.end(ctx, errStart)
}

// end stops what runs. The error of a service that failed comes first: what went wrong at the start because of
// it is a consequence.
func (m *machine) end(ctx context.Context, errStart error) error {
	var errs []error
	if m.folder != nil {
		errs = append(errs, m.folder.Withdraw())
	}
	errs = append(errs, m.layers.Stop())
	if m.listener != nil {
		_ = m.listener.Close() // the API has closed it, unless it was never started
	}
	if m.folder != nil {
		errs = append(errs, m.folder.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return lifecycle.Stopped(ctx, errStart)
}

// start brings everything up, the servers first, then the services, and announces it.
func (m *machine) start(ctx context.Context) error {
	if err := m.occupy(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.startDatabase(ctx, gctx) })
	g.Go(func() error { return m.startNATS(ctx, gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := m.startServices(ctx); err != nil {
		return err
	}
	return m.announce()
}

// occupy takes what only one process can have: the folder and the API's port.
func (m *machine) occupy(ctx context.Context) (err error) {
	if m.folder, err = local.Open(m.cfg.DataDir); err != nil {
		return err
	}
	if m.token, err = m.folder.Token(m.cfg.Token); err != nil {
		return err
	}
	if m.cfg.HTTPCert == "" && !isLoopback(m.cfg.HTTPAddr) {
		m.log.WarnContext(ctx, "the API listens beyond this machine and in the clear; set ATTUNE_HTTP_CERT and ATTUNE_HTTP_KEY, or put a proxy before it",
			slog.String("address", m.cfg.HTTPAddr))
	}
	m.listener, err = net.Listen("tcp", m.cfg.HTTPAddr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("API on %s: %w; choose another with --http HOST:PORT (or ATTUNE_HTTP_ADDR), port 0 takes a free one", m.cfg.HTTPAddr, ErrPortTaken)
	}
	if err != nil {
		return fmt.Errorf("API on %s: %w", m.cfg.HTTPAddr, err)
	}
	return nil
}

// startDatabase starts the private PostgreSQL unless there is another, opens it and migrates it.
func (m *machine) startDatabase(run, ctx context.Context) (err error) {
	m.dbURL = m.cfg.DatabaseURL
	if m.dbURL == "" {
		if err := m.startPostgres(run, ctx); err != nil {
			return err
		}
	}
	m.db, err = database.Open(ctx, m.dbURL, database.Options{Name: "up", MaxConns: maxConns, Logger: m.log})
	if err != nil {
		return err
	}
	m.layers.Closing(run, "connections to PostgreSQL", m.db.Close)
	return database.Migrate(ctx, m.db)
}

// maxConns is enough for six services, three of which keep one connection to listen on.
const maxConns = 24

func (m *machine) startPostgres(run, ctx context.Context) error {
	wanted := filepath.Join(m.folder.Dir, "postgres")
	s, err := postgres.New(ctx, postgres.Config{Dir: wanted, Logger: m.log})
	if err != nil {
		return err
	}
	if info, err := os.Lstat(wanted); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		m.log.InfoContext(ctx, "PostgreSQL keeps its data elsewhere: its user may not enter a folder above the data folder", slog.String("folder", s.Dir()))
	}
	m.layers.Add(run, lifecycle.Named{Name: "postgres", Service: s})
	m.dbURL = s.URL()
	select {
	case <-s.Ready():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startNATS starts the embedded server unless there is another, connects, and makes the streams.
func (m *machine) startNATS(run, ctx context.Context) (err error) {
	if m.cfg.NATSURL == "" {
		if err := m.embedNATS(run); err != nil {
			return err
		}
	}
	if m.bus, err = m.connect(ctx, streams.UserSetup); err != nil {
		return err
	}
	m.layers.Closing(run, "connection to NATS", m.bus.Close)
	o, err := m.streamOptions()
	if err != nil {
		return err
	}
	if err := streams.Ensure(ctx, m.bus.JS, o); err != nil || m.nats == nil {
		return err
	}
	if !m.nats.Stage() {
		m.log.InfoContext(ctx, "no file system in memory: bursts are slower, since batches are staged on the disk")
	}
	return nil
}

// streamOptions keeps the streams of an embedded server to a part of its volume: a stream at its limit gives
// publishers an error, a full disk does not answer them.
func (m *machine) streamOptions() (streams.Options, error) {
	o := streams.Options{Replicas: m.cfg.Replicas}
	if m.nats == nil {
		return o, nil
	}
	volume, err := natsserver.VolumeSize(m.folder.Dir)
	if err != nil {
		return o, err
	}
	o.Embedded = true
	o.EventsMax = min(2<<30, volume/8)
	o.LogsMax = min(1<<30, volume/16)
	return o, nil
}

func (m *machine) embedNATS(run context.Context) (err error) {
	m.nats, err = natsserver.Start(natsserver.Config{
		Dir: filepath.Join(m.folder.Dir, "nats"), Addr: m.cfg.NATSAddr, SyncSlow: m.cfg.Sync == "interval", Logger: m.log,
		TLS: natsserver.TLS{Cert: m.cfg.NATSCert, Key: m.cfg.NATSKey, CA: m.cfg.NATSCA},
	})
	if errors.Is(err, natsserver.ErrPortTaken) {
		return fmt.Errorf("%w; choose another with --nats HOST:PORT (or ATTUNE_NATS_ADDR), port 0 takes a free one", err)
	}
	if err != nil {
		return err
	}
	m.cfg.NATSURL, m.cfg.NATSCreds = m.nats.URL(), m.nats.UsersDir()
	if m.cfg.NATSCert == "" && !isLoopback(m.cfg.NATSAddr) {
		m.log.WarnContext(run, "NATS listens beyond this machine and in the clear; set ATTUNE_NATS_CERT and ATTUNE_NATS_KEY", slog.String("address", m.cfg.NATSAddr))
	}
	m.layers.Add(run, lifecycle.Named{Name: "nats", Service: m.nats})
	return nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && authority.Local(host)
}

// connect makes a connection for one service, past the network when the server is in this process.
func (m *machine) connect(ctx context.Context, name string) (*bus.Bus, error) {
	c := bus.Config{URL: m.cfg.NATSURL, CredsFile: m.cfg.NATSCredsOf(name), CAFile: m.cfg.NATSCA, Name: streams.ConnectionName(name), Logger: m.log}
	if m.nats != nil {
		c.InProcess = m.nats.InProcess()
	}
	return bus.Connect(ctx, c)
}

// startServices starts the services in two groups: those that admit and run executions stop first, while
// those that record and show what becomes of them still do.
func (m *machine) startServices(ctx context.Context) error {
	p := parts.Process{
		Config: m.cfg, Version: m.version, ID: uuid.NewString(), Connect: m.connect, DB: m.db, DataDir: m.folder.Dir,
		Listener: m.listener, Token: m.token, Logger: m.log, Registry: parts.NewRegistry(),
	}
	for _, group := range [][]string{{parts.Recorder, parts.API}, {parts.Scheduler, parts.Runner, parts.Rules, parts.Sensors}} {
		services, err := p.Services(group...)
		if err != nil {
			return err
		}
		m.layers.Add(ctx, services...)
	}
	c, err := m.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := awaitReady(ctx, c); err != nil {
		return err
	}
	return m.installShipped(ctx, c)
}

// client talks to the API of this process.
func (m *machine) client() (*client.Client, error) {
	if m.cfg.HTTPCert != "" {
		file, errAbs := filepath.Abs(m.cfg.HTTPCert)
		name, errName := client.NameIn(m.cfg.HTTPCert)
		if err := errors.Join(errAbs, errName); err != nil {
			return nil, err
		}
		m.apiCA, m.apiName = file, name
	}
	return client.New(client.Config{
		URL: m.apiURL(), CAFile: m.apiCA, ServerName: m.apiName, Token: m.token, Agent: "attune-up",
	})
}

func (m *machine) announce() error {
	return m.folder.Announce(local.Announcement{
		APIURL: m.apiURL(), APICA: m.apiCA, APIName: m.apiName, NATSURL: m.cfg.NATSURL, NATSCreds: m.cfg.NATSCredsOf(streams.UserPeople), Token: m.token,
		PID: os.Getpid(), Version: m.version,
	})
}
