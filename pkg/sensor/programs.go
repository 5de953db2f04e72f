package sensor

import (
	"context"
	"errors"
	"io"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
)

// Builtin is the runtime of the sensors that are part of Attune. Their entry point names one of them, and this very
// program is started for it.
const Builtin = "builtin"

// BuiltinCommand is the argument by which this program becomes a sensor; the name follows.
const BuiltinCommand = "builtin-sensor"

// ErrTransient is wrapped by a Maker's error that another try may not have.
var ErrTransient = errors.New("may succeed later")

// Program is what a sensor is started as.
type Program struct {
	Path    string
	Argv0   string // "" means Path
	Args    []string
	Env     []string // PATH among them
	Release func()   // called when it does not run any more; not nil
}

// Maker makes the programs of sensors on this machine.
type Maker interface {
	// Make makes a sensor of the pack with that digest ready. What tools say is written to log.
	Make(ctx context.Context, digest string, s pack.Sensor, log io.Writer) (Program, error)
	// Keep may remove what it has of all other packs.
	Keep(digests map[string]bool) error
}

// program makes a sensor ready. A failure is one that the same try will have again.
func (h *Host) program(ctx context.Context, w *want, log io.Writer) (Program, error) {
	if w.spec.Runtime == Builtin {
		return Program{
			Path: "/proc/self/exe", Argv0: "attune", Args: []string{BuiltinCommand, w.spec.EntryPoint},
			Env: []string{"PATH=" + runtime.DefaultPath}, Release: func() {},
		}, nil
	}
	p, err := h.Programs.Make(ctx, w.digest, w.spec, log)
	if err != nil && !errors.Is(err, ErrTransient) {
		err = &failure{err}
	}
	return p, err
}
