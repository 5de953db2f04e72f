package process_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/process"
)

// spare starts a script that is to say by itself that it waits.
func spare(t *testing.T, script string) *process.Spare {
	t.Helper()
	s, err := shared().Start(sh(script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Discard)
	return s
}

func closed(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("it is never %s", what)
	}
}

const (
	waits = "printf . >&3; "
	reads = "read -r line; printf . >&3; exec 3>&-; "
)

func TestASpareWaitsForItsWork(t *testing.T) {
	t.Parallel()
	s := spare(t, `echo early; echo first >&2; `+waits+reads+`echo "$line"; echo $$; exit 7`)
	closed(t, "ready", s.Ready())
	if s.Memory() < 100<<10 {
		t.Errorf("it has %d bytes in memory", s.Memory())
	}
	var out, errs bytes.Buffer
	given, began := false, time.Now()
	input := strings.Repeat("0123456789", 20_000) + "\n"
	res, err := s.Run(t.Context(), process.Work{
		Stdin: []byte(input), Stdout: &out, Stderr: &errs, Timeout: time.Minute, Given: func() { given = true },
	})
	if err != nil || res.ExitCode != 7 || res.LeftBehind != 0 || res.Held || !given {
		t.Errorf("%+v, %v, given %v", res, err, given)
	}
	if res.Started.Before(began) || res.Ended.Before(res.Started) {
		t.Errorf("it ran from %s to %s, and was given its work at %s", res.Started, res.Ended, began)
	}
	if text := out.String(); !strings.HasPrefix(text, "early\n"+input) || errs.String() != "first\n" {
		t.Errorf("%d bytes of output, %.20q; %q", len(text), text, errs.String())
	}
	if _, err := s.Run(t.Context(), process.Work{}); err == nil {
		t.Error("it took a second work")
	}
}

func TestTheTimeOfASpareCountsFromItsWorkOn(t *testing.T) {
	t.Parallel()
	s := spare(t, waits+reads+`sleep 1000`)
	closed(t, "ready", s.Ready())
	if res, err := s.Run(t.Context(), process.Work{Timeout: 50 * time.Millisecond, Grace: time.Minute}); err != nil || !res.TimedOut || res.Killed {
		t.Errorf("%+v, %v", res, err)
	}
	s = spare(t, waits+reads+`sleep 1000`)
	ctx, cancel := context.WithCancel(t.Context())
	if res, err := s.Run(ctx, process.Work{Stdin: []byte("x"), Grace: time.Minute, Given: cancel}); err != nil || !res.Canceled {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestASpareThatWritesMoreThanItsPipesHoldLosesNothing(t *testing.T) {
	t.Parallel()
	s := spare(t, `head -c 300000 /dev/zero | tr '\0' x; head -c 300000 /dev/zero | tr '\0' y >&2; `+waits+reads+`echo $line`)
	var out, errs bytes.Buffer
	if res, err := s.Run(t.Context(), process.Work{Stdin: []byte("end\n"), Stdout: &out, Stderr: &errs}); err != nil || res.ExitCode != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if out.Len() != 300004 || errs.Len() != 300000 || !strings.HasSuffix(out.String(), "xend\n") {
		t.Errorf("%d and %d bytes", out.Len(), errs.Len())
	}
}

// Whoever is told that a spare was not used may start something else in its place.
func TestASpareThatDidNotReadIsUnused(t *testing.T) {
	t.Parallel()
	dead := spare(t, "exit 3")
	closed(t, "gone", dead.Gone())
	if res, err := dead.Run(t.Context(), process.Work{Stdin: []byte("x")}); !errors.Is(err, process.ErrUnused) {
		t.Errorf("one that had ended: %+v, %v", res, err)
	}
	for name, tt := range map[string]struct {
		script, input string
		until         string // it is killed when it has written this; "": at once
		unused        bool
	}{
		"before it read":      {waits + "exec sleep 1000", "{}\n", "", true},
		"before it read much": {waits + "exec sleep 1000", strings.Repeat("x", 1<<20), "", true},
		"while it read":       {waits + "head -c 10; exec sleep 1000", strings.Repeat("x", 1<<20), "xx", true},
		"after it had read":   {waits + reads + "echo $line; exec sleep 1000", "{}\n", "{}", false},
	} {
		s := spare(t, tt.script)
		closed(t, "ready", s.Ready())
		out := newSync()
		kill := func() { go func() { out.waitFor(tt.until); _ = syscall.Kill(s.PID(), syscall.SIGKILL) }() }
		res, err := s.Run(t.Context(), process.Work{Stdin: []byte(tt.input), Stdout: out, Given: kill})
		if errors.Is(err, process.ErrUnused) != tt.unused || !tt.unused && res.Signal != syscall.SIGKILL {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

func TestNothingOutlivesADiscardedSpare(t *testing.T) {
	t.Parallel()
	seconds := token(t)
	s := spare(t, "(trap '' TERM; setsid env -i sleep "+seconds+" >/dev/null 2>&1 &) ; echo much; "+waits+"sleep "+seconds)
	closed(t, "ready", s.Ready())
	eventually(t, time.Minute, "it runs", func() bool { return alive("sleep\x00"+seconds) == 2 })
	s.Discard()
	if n := alive("sleep\x00" + seconds); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	s.Discard()
	if _, err := s.Run(t.Context(), process.Work{}); err == nil {
		t.Error("it was used after its end")
	}
}

func TestASpareThatCannotStartIsAnError(t *testing.T) {
	t.Parallel()
	var spawn *process.SpawnError
	if _, err := shared().Start(process.Spec{Path: "/no/such/program", Sandbox: policy()}); !errors.As(err, &spawn) || spawn.Class != process.NotFound {
		t.Errorf("%v", err)
	}
}
