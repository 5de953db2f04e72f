package runner

import (
	"errors"
	"io"
	"log/slog"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/mask"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
)

// sink takes what a program writes. Secrets are masked before anything is kept: in the log at once, in what is captured
// for the result when the result is read, since its strings are masked as they are and not as JSON writes them.
type sink struct {
	captured capture
	added    mask.Added
	closers  []io.Closer // in the order in which they are closed
}

// connect leads a program's output through a sink to two logs.
func (a *attempt) connect(spec *process.Spec, stdout, stderr logs.Sink) *sink {
	s := &sink{}
	shown := a.hide.Writer(stdout)
	to := io.Writer(&gate{to: shown, log: stdout})
	if a.program.Output == pack.OutputJSON {
		s.captured.to, to = to, &s.captured
	}
	out := a.hide.Commands(to, shown, &s.added)
	errShown := a.hide.Writer(stderr)
	err := a.hide.Commands(&gate{to: errShown, log: stderr}, errShown, &s.added)
	spec.Stdout, spec.Stderr = out, err
	s.closers = []io.Closer{out, shown, err, errShown}
	return s
}

// close passes on what was held back, once the program has ended.
func (s *sink) close(log *slog.Logger) {
	var all error
	for _, c := range s.closers {
		all = errors.Join(all, c.Close())
	}
	if all != nil {
		log.Warn("end of output not kept", slog.Any(logging.Error, all))
	}
}

// gate leaves out what the log does not keep: nothing need be masked in that.
type gate struct {
	to  io.Writer
	log logs.Sink
}

// Write never fails before its target does.
func (g *gate) Write(p []byte) (int, error) {
	if g.log.Drop(len(p)) {
		return len(p), nil
	}
	return g.to.Write(p)
}

// capture passes output on and keeps as much of it as may be a result.
type capture struct {
	to   io.Writer
	kept []byte
	over bool
}

// Write never fails before its target does.
func (c *capture) Write(p []byte) (int, error) {
	if len(c.kept)+len(p) > MaxResult {
		c.over = true
	} else if !c.over {
		c.kept = append(c.kept, p...)
	}
	return c.to.Write(p)
}

func (c *capture) text() ([]byte, error) {
	if c.over {
		return nil, errTooLarge
	}
	if raw := emptyIsNone(c.kept); raw != nil {
		return raw, nil
	}
	return nil, errNoOutput
}

var errNoOutput = errors.New("the action promised JSON on standard output, and wrote nothing")
