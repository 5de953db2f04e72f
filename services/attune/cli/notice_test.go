package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func TestWhatACommandWaitsForIsSaidOnceAndNotAtOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	say := laterNotice(&out)
	refusal := &client.Problem{Code: api.CodeSchedulerDown, Detail: "no scheduler\nanswers"}
	if say(refusal, 400*time.Millisecond); out.Len() != 0 {
		t.Errorf("at once: %q", out.String())
	}
	say(refusal, 2*time.Second)
	say(refusal, 4*time.Second)
	if want := "waiting for the API, up to 15s: no scheduler answers (scheduler_unavailable)\n"; out.String() != want {
		t.Errorf("said %q, want %q", out.String(), want)
	}
}

func TestOnlyWhoseAPIIsAwayIsToldToStartOne(t *testing.T) {
	t.Parallel()
	told := func(err error) bool { return strings.Contains(strings.Join(hints(err), "\n"), "attune up") }
	refused := fmt.Errorf("%w: %w", client.ErrUnreachable, &client.Problem{Code: api.CodeBusDown})
	if !told(fmt.Errorf("%w: refused", client.ErrUnreachable)) || told(refused) || told(errors.New("else")) {
		t.Error("told", hints(refused))
	}
}
