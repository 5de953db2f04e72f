// Package natsserver runs a NATS server with JetStream inside this process.
//
// It guarantees that nobody connects without credentials, not even from the same machine, that what was
// acknowledged is on disk unless the operator chose otherwise, and that accounts, and with them the streams,
// are the same after a restart. The credentials of clients are a file that only the server's user can read.
package natsserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Config says where the server listens and what it keeps.
type Config struct {
	Dir      string // of keys, credentials and streams; made when absent
	Addr     string // host:port; port 0 takes a free one; empty: this process only
	SyncSlow bool   // do not wait for the disk before acknowledging
	Member   Member // of a cluster; the zero value is a server of its own
	TLS      TLS
	Logger   *slog.Logger
}

// MaxPayload is the largest message that the server takes.
const MaxPayload = 4 << 20

// ErrPortTaken is returned when something else listens on the address.
var ErrPortTaken = errors.New("address already in use")

// ErrNotReady is returned when the server does not come up.
var ErrNotReady = errors.New("NATS server does not come up")

const readyTimeout = 30 * time.Second

// Server is a running server. It may be stopped and started again; connections made by way of InProcess and
// URL find it again.
type Server struct {
	cfg   Config
	keys  keys
	creds string

	broken chan struct{} // holds one when the server has said that it cannot write
	faulty atomic.Bool

	mu      sync.Mutex // guards the fields below
	srv     *server.Server
	revoked int    // how many users srv was told of that must not come in
	addr    string // as listened on: port 0 stays what it became
	staging string // folder in memory where batches are staged; "" if there is none
}

// Start starts a server and returns when it takes connections.
func Start(cfg Config) (*Server, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of NATS: %w", err)
	}
	s := &Server{cfg: cfg, addr: cfg.Addr, broken: make(chan struct{}, 1)}
	var err error
	if s.keys, s.creds, err = cfg.identities(); err != nil {
		return nil, err
	}
	return s, s.Restart()
}

// identities gives the server's keys and its clients' credentials: its own, or those of its cluster.
func (c Config) identities() (keys, string, error) {
	if c.Member.alone() {
		return makeIdentities(filepath.Join(c.Dir, "keys"), c.Dir)
	}
	k, err := loadKeys(c.Member.Identities)
	return k, filepath.Join(c.Member.Identities, credsName), err
}

// Restart stops the server when it runs, and starts it on the same address with the same streams.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	s.clearFault()
	s.unstage()
	opts, err := s.options()
	if err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("make NATS server: %w", err)
	}
	log := &logger{log: s.cfg.Logger, fatal: make(chan string, 1), fault: s.noteFault}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	if err := await(srv, log.fatal); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return err
	}
	if err := s.open(srv); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return err
	}
	s.srv, s.revoked = srv, 0
	s.stage() // the server has removed what was there
	if a, ok := srv.Addr().(*net.TCPAddr); ok && s.addr != "" {
		host, _, _ := net.SplitHostPort(s.addr)
		s.addr = net.JoinHostPort(host, strconv.Itoa(a.Port))
	}
	return nil
}

// open makes the account's JetStream ready. The server does so when the first client comes, and for a moment the account's
// folder is not there; a second client that makes a stream just then would be refused.
func (s *Server) open(srv *server.Server) error {
	account, err := s.keys.app.PublicKey()
	if err == nil {
		_, err = srv.LookupAccount(account)
	}
	if err != nil {
		return fmt.Errorf("open account of NATS: %w", err)
	}
	return nil
}

func (s *Server) options() (*server.Options, error) {
	volume, err := VolumeSize(s.cfg.Dir)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "attune", NoSigs: true, MaxPayload: MaxPayload, DontListen: s.addr == "",
		JetStream: true, StoreDir: filepath.Join(s.cfg.Dir, "store"), SyncAlways: !s.cfg.SyncSlow,
		JetStreamMaxStore: volume, // else it is what is free now, and a start on a fuller disk refuses its own streams
	}
	if s.addr != "" {
		host, port, err := splitFree(s.addr)
		if err != nil {
			return nil, err
		}
		opts.Host, opts.Port = host, port
	}
	if err := s.cfg.Member.configure(opts); err != nil {
		return nil, err
	}
	if err := s.cfg.TLS.configure(opts); err != nil {
		return nil, err
	}
	return opts, s.keys.configure(opts)
}

// VolumeSize is the size of the volume that dir is on. Streams should be limited to a part of it: a stream at
// its limit gives its publishers an error, a full disk does not answer them at all.
func VolumeSize(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("size of the volume of %s: %w", dir, err)
	}
	return int64(st.Blocks) * st.Bsize, nil
}

// splitFree checks that the address can be listened on: the server itself only logs that it cannot.
func splitFree(addr string) (host string, port int, err error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return "", 0, fmt.Errorf("NATS server on %s: %w", addr, ErrPortTaken)
	}
	if err != nil {
		return "", 0, fmt.Errorf("NATS server on %s: %w", addr, err)
	}
	a := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		return "", 0, fmt.Errorf("NATS server on %s: %w", addr, err)
	}
	host, wanted, _ := net.SplitHostPort(addr)
	if wanted == "0" {
		return host, server.RANDOM_PORT, nil
	}
	return host, a.Port, nil
}

func await(srv *server.Server, fatal <-chan string) error {
	ready := make(chan bool, 1)
	go func() { ready <- srv.ReadyForConnections(readyTimeout) }()
	select {
	case text := <-fatal:
		srv.Shutdown()
		<-ready
		return fmt.Errorf("%w: %s", ErrNotReady, text)
	case ok := <-ready:
		if !ok {
			return fmt.Errorf("%w within %s", ErrNotReady, readyTimeout)
		}
		return nil
	}
}

// Stop stops the server and returns when it has written what it holds.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

func (s *Server) stop() {
	if s.srv == nil {
		return
	}
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	s.srv = nil
	s.unstage()
}

// URL is where clients connect, empty for a server of this process only.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == "" {
		return ""
	}
	host, port, _ := net.SplitHostPort(s.addr)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, port)
}

// CredsFile holds the credentials of people, who may do everything in the account that Attune's streams are in.
func (s *Server) CredsFile() string { return s.creds }

// UsersDir is the folder with the credentials of every user of that account, as "NAME.creds": see streams.Users.
func (s *Server) UsersDir() string { return filepath.Join(filepath.Dir(s.creds), usersDir) }

// InProcess makes a connection of this process skip the network.
func (s *Server) InProcess() nats.Option { return nats.InProcessServer(s) }

// InProcessConn implements nats.InProcessConnProvider with whichever server runs now.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil {
		return nil, nats.ErrNoServers
	}
	return s.srv.InProcessConn()
}

// noLimit is JetStream without limits of its own: the disk and the streams' sizes are the limits.
var noLimit = jwt.JetStreamLimits{
	MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	MaxAckPending: jwt.NoLimit,
}
