package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Config says where the server lives.
type Config struct {
	Dir        string // made when absent
	Logger     *slog.Logger
	Volatile   bool   // for tests: a crash of the machine may lose or break the data
	Repository string // where binaries come from when none are installed; empty: Maven Central
	Cache      string // where obtained binaries are kept; empty: the user's cache folder
}

// ErrStart is returned when the server ended before it was ready, several times in a row.
var ErrStart = errors.New("PostgreSQL does not start")

const (
	startAttempts = 4
	stopGrace     = 30 * time.Second // fast shutdown: clients are disconnected, a checkpoint is written
	quitGrace     = 5 * time.Second
)

// Server keeps a PostgreSQL running on one cluster.
type Server struct {
	cluster *Cluster
	log     *slog.Logger
	ready   chan struct{} // closed by Run when the server first answers
}

// New prepares a server, see Prepare. Nothing runs yet.
func New(ctx context.Context, cfg Config) (*Server, error) {
	c, err := Prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Server{cluster: c, log: cfg.Logger, ready: make(chan struct{})}, nil
}

// URL is how to connect to Attune's database. It stays the same over restarts.
func (s *Server) URL() string { return s.cluster.URL(Database) }

// Dir is where the data truly is.
func (s *Server) Dir() string { return s.cluster.dir }

// Ready is closed when the server first answers and Attune's database is there.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run starts the server, starts it again when it dies, and stops it when ctx ends. It returns nil after a
// clean stop, and an error when the server cannot be started at all.
func (s *Server) Run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 10*time.Second
	for failed := 0; ; {
		answered, err := s.serve(ctx)
		if ctx.Err() != nil {
			return err
		}
		if answered {
			failed = 0
			pause.Reset()
		} else if failed++; failed >= startAttempts && !s.wasReady() {
			return fmt.Errorf("%w: %w", ErrStart, err)
		}
		s.log.WarnContext(ctx, "PostgreSQL ended, starting it again", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause.NextBackOff()):
		}
	}
}

func (s *Server) wasReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// serve runs the server once. It tells whether it ever answered, and how it ended.
func (s *Server) serve(ctx context.Context) (answered bool, err error) {
	p, err := s.start()
	if err != nil {
		return false, err
	}
	err = s.cluster.Await(ctx, p.done)
	answered = err == nil
	if answered && !s.wasReady() {
		s.log.DebugContext(ctx, "PostgreSQL ready", slog.String("version", s.cluster.Binaries.Version), slog.String("folder", s.cluster.dir))
		close(s.ready)
	}
	if err != nil && !p.ended() {
		stopped := p.stop()
		if ctx.Err() != nil {
			return false, stopped
		}
		return false, errors.Join(err, stopped)
	}
	select {
	case <-ctx.Done():
		return answered, p.stop()
	case <-p.done:
		return answered, p.failure()
	}
}

// process is one running server.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// start starts the server from a thread that lives as long as the server: the kernel sends it the signal
// for a fast shutdown when that thread ends, which it does with this process, however that dies.
func (s *Server) start() (*process, error) {
	argv, as := s.cluster.Command()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), out: &output{log: s.log}, done: make(chan struct{})}
	p.cmd.Dir = s.cluster.dir
	p.cmd.Env = environment()
	p.cmd.Stderr = p.out
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setsid: true, Pdeathsig: syscall.SIGINT}
	started := make(chan error, 1)
	go p.own(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return p, nil
}

func (p *process) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) failure() error {
	return fmt.Errorf("PostgreSQL ended: %v: %s", p.cmd.ProcessState, p.out.tail())
}

// stop asks for a fast shutdown, then for an immediate one.
func (p *process) stop() error {
	for _, step := range []struct {
		signal syscall.Signal
		grace  time.Duration
	}{{syscall.SIGINT, stopGrace}, {syscall.SIGQUIT, quitGrace}} {
		_ = p.cmd.Process.Signal(step.signal)
		select {
		case <-p.done:
			if p.err != nil {
				return p.failure()
			}
			return nil
		case <-time.After(step.grace):
		}
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
	return p.failure()
}
