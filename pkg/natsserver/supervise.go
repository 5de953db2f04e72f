package natsserver

import (
	"context"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/attune/attune/pkg/lifecycle"
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
	look := time.NewTimer(lifecycle.UntilBeat(revokedEvery))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			s.revoke(ctx)
			look.Reset(lifecycle.UntilBeat(revokedEvery))
			continue
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

// revokedEvery is how often the server looks whether somebody's access was ended.
const revokedEvery = time.Second

// revoke takes in what Revoke has written since: the server disconnects those who may not be there any more.
func (s *Server) revoke(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.keys.revoked()
	if err == nil && (s.srv == nil || len(out) == s.revoked) {
		return
	}
	var claims *jwt.AccountClaims
	if err == nil {
		claims, err = claim(appName, s.keys.app, s.keys.describe)
	}
	if err != nil {
		s.cfg.Logger.ErrorContext(ctx, "users of NATS not looked at: who was revoked since stays connected", slog.Any("error", err))
		return
	}
	account, err := s.srv.LookupAccount(claims.Subject)
	if err != nil {
		s.cfg.Logger.ErrorContext(ctx, "account of NATS not found", slog.Any("error", err))
		return
	}
	s.srv.UpdateAccountClaims(account, claims)
	s.revoked = len(out)
	s.cfg.Logger.InfoContext(ctx, "users of NATS are revoked", slog.Int("count", s.revoked))
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
