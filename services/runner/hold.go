package runner

import (
	"context"
	"errors"
	"log/slog"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/secret"
)

// held is a program that was started before its claim was stored. It has run no instruction, and does not before it is
// let go.
type held struct {
	*process.Held
	material material
	spec     process.Spec
}

// errUnclaimed is returned when secrets are wanted for an execution that is not known to be ours yet.
var errUnclaimed = errors.New("secrets are for who has claimed the execution")

// hold starts the program while the claim is on its way, up to its first instruction. Where that cannot be done, the
// program is started after the claim, and whatever stands in the way of it is told then. It is not tried where a process
// may be waiting for the execution.
func (a *attempt) hold(ctx context.Context) {
	if a.program.command.Spare != nil {
		return
	}
	if err := a.launch(ctx); err != nil {
		a.log.DebugContext(ctx, "program not started before the claim", slog.Any(logging.Error, err))
		a.r.sandbox.GiveUser(a.user)
		a.user = 0
	}
}

func (a *attempt) launch(ctx context.Context) (err error) {
	h := &held{}
	if h.material, err = a.material(ctx, withoutSecrets); err != nil {
		return err
	}
	if h.spec, err = a.spec(h.material); err != nil {
		return err
	}
	if err := a.arrange(&h.spec); err != nil {
		return err
	}
	if h.Held, err = a.r.launcher.Hold(h.spec); err != nil {
		return err
	}
	a.held = h
	return nil
}

// withoutSecrets is the fetch of an execution that may be somebody else's.
func withoutSecrets(_ context.Context, wanted func() secret.Wanted) (secret.Given, error) {
	if wanted().Empty() {
		return secret.Given{}, nil
	}
	return secret.Given{}, errUnclaimed
}
