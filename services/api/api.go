package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/secret"
)

// Config says what the service works with.
type Config struct {
	Bus      *bus.Bus
	DB       *pgxpool.Pool
	Secrets  *secret.Store
	Listener net.Listener // the service closes it
	Token    string       // the administrator's; must not be empty
	Version  string
	TempDir  string // where archives are unpacked to be checked; "" is the system's
	Logger   *slog.Logger
	Registry *prometheus.Registry // what /metrics shows; nil: one of its own

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
	streams chan struct{} // one token per open stream; taken and returned by stream

	installing chan struct{} // one token: archives are checked one at a time, which bounds what they take

	metrics *metrics
	handler http.Handler

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
		config: c, log: c.Logger, facts: execution.NewFacts(c.Bus.JS), store: definitions.New(c.DB),
		history: history.New(c.DB), logs: output,
		streams: make(chan struct{}, maxStreams), installing: make(chan struct{}, 1), metrics: newMetrics(c.Registry),
	}
	s.defs = &catalog{store: s.store}
	s.canary = &canary{js: c.Bus.JS}
	s.leaving, s.leave = context.WithCancel(context.WithoutCancel(ctx))
	s.handler = s.routes()
	return s, nil
}

// Addr is where the service listens.
func (s *Server) Addr() net.Addr { return s.config.Listener.Addr() }

// Handler answers the service's requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves until ctx ends, then lets requests finish and ends streams.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.store.Watch(ctx, s.log, s.defs.use) })
	g.Go(func() error { return s.serveSecrets(ctx) })
	g.Go(func() error { return s.serve(ctx) })
	return g.Wait()
}

// Bounds of a connection.
const (
	headerTimeout   = 5 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 10 * time.Second
	maxHeaderBytes  = 32 << 10
)

func (s *Server) serve(ctx context.Context) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), ConnContext: boundSendBuffer,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.config.Listener) }()
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
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // without it the kernel's own bound holds
	}
	return ctx
}
