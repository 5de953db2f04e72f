package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/account"
	"github.com/attune/attune/pkg/audit"
	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/fleet"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/installer"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/secret"
)

// Config says what the service works with.
type Config struct {
	Bus      *bus.Bus
	DB       *pgxpool.Pool
	Secrets  *secret.Store
	Listener net.Listener // the service closes it
	TLS      *tls.Config  // nil: plain HTTP
	Token    string       // the administrator's; must not be empty

	OIDC *OIDC // who proves users, besides their passwords; nil: nobody

	RequestRate  int // requests a second that one token or user may make; 0: not bounded
	FailureBurst int // wrong credentials that one address may send at once; 0: failureBurst
	SignInBurst  int // passwords that may be tried at once from one address, and of one user; 0: signInBurst

	Version  string
	TempDir  string // where archives are unpacked to be checked; "" is the system's
	Logger   *slog.Logger
	Registry *prometheus.Registry // what /metrics shows; nil: one of its own

	Logs logs.Limits // of executions' output where their actions have none, as runners have them

	BuildTimeout time.Duration // what a runner may take to make a pack ready; 0: installer.DefaultBuildTimeout
	InstallGrace time.Duration // for how long nothing may have needed a version of a pack that is removed; 0: installer.DefaultGrace
	InstallEvery time.Duration // how often packs are compared with what runners know; 0: installer.DefaultEvery

	SlowClient time.Duration // how long a client of a stream may not read; 0: DefaultSlowClient
}

// DefaultSlowClient is how long a client of a stream may not read before it is dropped.
const DefaultSlowClient = 20 * time.Second

var errConfig = errors.New("api: bus, database, secrets, listener and token are needed")

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.SlowClient == 0 {
		c.SlowClient = DefaultSlowClient
	}
	if c.FailureBurst == 0 {
		c.FailureBurst = failureBurst
	}
	if c.SignInBurst == 0 {
		c.SignInBurst = signInBurst
	}
	return c
}

func (c Config) check() error {
	if c.Bus == nil || c.DB == nil || c.Secrets == nil || c.Listener == nil || c.Token == "" {
		return errConfig
	}
	return nil
}

// Server is the service.
type Server struct {
	config  Config
	log     *slog.Logger
	facts   *execution.Facts
	store   *definitions.Store
	history *history.Store
	logs    *logs.Store
	defs    *catalog
	canary  *canary
	fleet   *fleet.Fleet
	packs   *installer.Installer
	streams chan struct{} // one token per open stream; taken and returned by stream

	accounts *account.Store
	keeper   *account.Keeper
	audit    *audit.Store
	limits   *limits
	oidc     *provider     // nil: there is none
	anchor   chan struct{} // holds one when there may be a newer row of the audit to keep on the bus

	installing chan struct{} // one token: archives are checked one at a time, which bounds what they take

	metrics *metrics
	handler http.Handler
	demands map[string]demand // of every route, by method and path; not changed once the service is made

	leaving context.Context // ends when the service stops: open streams end with it
	leave   context.CancelFunc
}

// New makes the service; its streams and buckets must be there.
func New(ctx context.Context, c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	output, err := logs.Open(ctx, logs.Config{Bus: c.Bus, Logger: c.Logger})
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s := &Server{
		config: c, log: c.Logger, facts: execution.NewGroupedFacts(c.Bus), store: definitions.New(c.DB),
		history: history.New(c.DB), logs: output,
		streams: make(chan struct{}, maxStreams), installing: make(chan struct{}, 1), metrics: newMetrics(c.Registry), demands: map[string]demand{},
		accounts: account.New(c.DB), audit: audit.New(c.DB), limits: newLimits(c), oidc: newProvider(c.OIDC), anchor: make(chan struct{}, 1),
	}
	s.defs = &catalog{store: s.store}
	s.keeper = account.NewKeeper(s.accounts, c.Logger)
	s.canary = &canary{js: c.Bus.JS}
	s.fleet = fleet.New(c.Bus.JS, c.Logger)
	if s.packs, err = newInstaller(c); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.leaving, s.leave = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.Registry.Register(newServiceMetrics(s)); err != nil {
		return nil, fmt.Errorf("api: register metrics: %w", err)
	}
	s.handler = s.routes()
	return s, nil
}

func newInstaller(c Config) (*installer.Installer, error) {
	return installer.New(installer.Config{
		Bus: c.Bus, DB: c.DB, ID: uuid.NewString(), BuildTimeout: c.BuildTimeout, Grace: c.InstallGrace, Every: c.InstallEvery,
		TempDir: c.TempDir, Logger: c.Logger, Registerer: c.Registry,
	})
}

// Addr is where the service listens.
func (s *Server) Addr() net.Addr { return s.config.Listener.Addr() }

// Handler answers the service's requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves until ctx ends, then lets requests finish and ends streams.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.store.Watch(ctx, s.log, s.learn) })
	g.Go(func() error { return s.serveSecrets(ctx) })
	g.Go(func() error { return s.keeper.Run(ctx) })
	g.Go(func() error { return s.anchorAudit(ctx) })
	g.Go(func() error { return s.config.Secrets.Run(ctx) })
	g.Go(func() error { return s.fleet.Run(ctx) })
	g.Go(func() error { return s.packs.Run(ctx) })
	g.Go(func() error { return s.serve(ctx) })
	return g.Wait()
}

// learn takes what is defined now, for requests and for installs.
func (s *Server) learn(now *definitions.Snapshot) {
	s.defs.use(now)
	s.packs.Learn(now)
}

// Bounds of a connection.
const (
	headerTimeout   = 5 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 10 * time.Second
	maxHeaderBytes  = 64 << 10 // a concurrency key may be in the query, and each of its bytes may take three there
)

func (s *Server) serve(ctx context.Context) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), ConnContext: boundSendBuffer,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.listener()) }()
	select {
	case err := <-served:
		s.leave()
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.leave()
	err := shutdown(server)
	<-served
	if err != nil {
		return fmt.Errorf("stop serving HTTP: %w", err)
	}
	return context.Cause(ctx)
}

// listener is where clients come from, by TLS if there is a certificate. Open streams are many and long, and each has a
// connection of its own by HTTP/1.1, so that a slow one holds up no other.
func (s *Server) listener() net.Listener {
	if s.config.TLS == nil {
		return s.config.Listener
	}
	c := s.config.TLS.Clone()
	c.NextProtos = []string{"http/1.1"}
	return tls.NewListener(s.config.Listener, c)
}

func shutdown(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}

// sendBuffer is what the kernel may hold of what a client has not read: it bounds the memory of slow ones.
const sendBuffer = 256 << 10

func boundSendBuffer(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // without it the kernel's own bound holds
	}
	return ctx
}
