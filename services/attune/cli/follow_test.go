package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/client"
)

func TestWhoStopsFollowingHearsThatTheExecutionGoesOn(t *testing.T) {
	t.Parallel()
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	other := errors.New("something else")
	cases := map[string]struct {
		ctx  context.Context
		err  error
		code int
		says string
	}{
		"Ctrl-C":              {stopped, context.Canceled, ExitInterrupted, "execution x goes on"},
		"the API went away":   {t.Context(), fmt.Errorf("%w: refused", client.ErrUnreachable), ExitUnknown, "lost sight of it"},
		"anything else":       {t.Context(), other, ExitFailed, "something else"},
		"the API said no":     {t.Context(), &client.Problem{Code: "gone", Detail: "no more"}, ExitFailed, "no more"},
		"stopped and refused": {stopped, other, ExitInterrupted, "execution x goes on"},
	}
	for name, c := range cases {
		err := brokenOff(c.ctx, "x", c.err)
		if ExitCode(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: status %d: %v", name, ExitCode(err), err)
		}
		if c.code != ExitFailed && !strings.Contains(strings.Join(hints(err), "\n"), "attune execution cancel x") {
			t.Errorf("%s: it does not say how to cancel: %v", name, hints(err))
		}
	}
}

func TestAnInterruptIsNoNews(t *testing.T) {
	t.Parallel()
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := interrupted(stopped, context.Canceled); !errors.Is(err, errQuiet) || ExitCode(err) != ExitInterrupted {
		t.Errorf("got %v", err)
	}
	own := WithExit(errors.New("stopped following"), ExitInterrupted)
	if err := interrupted(stopped, own); !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
	if err := interrupted(t.Context(), own); !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
}
