package natsserver

import (
	"context"
	"log/slog"
	"strings"
	"syscall"
	"time"
)

// writeFault is in every line by which the server says that it could not write a stream. It then answers no
// publish on that stream until it is started again, even when there is space again.
const writeFault = "ritical write error"

// enoughSpace is how much must be free before a server that could not write is started again.
const enoughSpace = 16 << 20

// Run watches the server until ctx ends, and then stops it. A server that could not write to its disk is
// started again as soon as there is space: its publishers' messages are not answered until then, never lost.
func (s *Server) Run(ctx context.Context) error {
	defer s.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.broken:
		}
		s.cfg.Logger.ErrorContext(ctx, "NATS server cannot write to its disk, waiting for space", slog.String("folder", s.cfg.Dir))
		if !s.awaitSpace(ctx) {
			return nil
		}
		if err := s.Restart(); err != nil {
			return err
		}
		s.cfg.Logger.InfoContext(ctx, "NATS server started again, its disk has space")
	}
}

// Writable tells whether the server can write: false from a fault until the restart that mends it.
func (s *Server) Writable() bool { return !s.faulty.Load() }

func (s *Server) awaitSpace(ctx context.Context) bool {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		var st syscall.Statfs_t
		if err := syscall.Statfs(s.cfg.Dir, &st); err == nil && int64(st.Bavail)*st.Bsize >= enoughSpace {
			return true
		}
	}
}

// noteFault looks for the words of a failed write in what the server says.
func (s *Server) noteFault(line string) {
	if !strings.Contains(line, writeFault) {
		return
	}
	s.faulty.Store(true)
	select {
	case s.broken <- struct{}{}:
	default:
	}
}

func (s *Server) clearFault() {
	s.faulty.Store(false)
	select {
	case <-s.broken:
	default:
	}
}
