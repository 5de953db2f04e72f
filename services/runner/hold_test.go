package runner_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

// standing is an execution whose claim is not stored.
type standing struct {
	*desk
	t    *testing.T
	id   string
	name string // of the action, which no other process has in its command line
	ran  string // what the program makes
}

// stand requests an execution and has the bus refuse whatever is published of it until it is let.
func stand(t *testing.T, parameters string) *standing {
	t.Helper()
	s := &standing{t: t, name: "a" + token(), ran: filepath.Join(folder(t), "ran")}
	s.desk = newDesk(t, scripts(map[string]string{s.name: "echo hello; : >" + s.ran}))
	s.id = execution.NewID()
	_, err := s.facts.Request(t.Context(), execution.Request{
		ID: s.id, Action: "p." + s.name, PackDigest: s.digest, Parameters: json.RawMessage(parameters), Pool: streams.DefaultPool, By: "api",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.bound(1)
	s.dispatch(s.id, s.name, 1)
	return s
}

// bound sets how large the facts of executions may be. -1: there is no bound.
func (s *standing) bound(most int32) {
	s.t.Helper()
	stream, err := s.bus.JS.Stream(s.t.Context(), streams.Executions)
	if err != nil {
		s.t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.MaxMsgSize = most
	if _, err := s.bus.JS.UpdateStream(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
}

// held waits until the program stands.
func (s *standing) held() {
	s.t.Helper()
	eventually(s.t, patience, "its program stands", func() bool { return alive(s.name+".sh") == 1 })
	s.hasNotRun()
}

func (s *standing) hasNotRun() {
	s.t.Helper()
	if _, err := os.Stat(s.ran); err == nil {
		s.t.Fatal("the program ran without a claim")
	}
	if st, err := s.facts.Find(s.t.Context(), s.id); err == nil && st.Status != streams.Requested {
		s.t.Fatalf("the execution is %+v", st)
	}
}

// gone waits until nothing is left of the program.
func (s *standing) gone() {
	s.t.Helper()
	eventually(s.t, patience, "its program is gone", func() bool { return alive(s.name+".sh") == 0 })
	s.hasNotRun()
}

func TestAProgramRunsOnlyOnceItsClaimIsStored(t *testing.T) {
	t.Parallel()
	s := stand(t, `{}`)
	s.start(nil)
	s.held()
	s.bound(-1)
	f := s.ended(s.id)
	if _, err := os.Stat(s.ran); err != nil || f.Status != streams.Succeeded || f.Output.StdoutBytes != 6 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestAProgramWhoseClaimIsRefusedHasNotRun(t *testing.T) {
	t.Parallel()
	s, dir := stand(t, `{}`), t.TempDir()
	r := s.start(func(c *runner.Config) { c.DataDir = dir })
	s.held()
	stream, err := s.bus.JS.Stream(t.Context(), streams.Executions)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.gone()
	eventually(t, patience, "its dispatch is acknowledged", func() bool { return s.queued() == 0 })
	s.bound(-1)
	if f := s.ended(s.request(s.name, `{}`)); f.Status != streams.Succeeded {
		t.Errorf("the next one: %+v", f)
	}
	r.stop()
	if left, _ := filepath.Glob(filepath.Join(dir, "work", "*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestAProgramThatIsHeldDoesNotHoldUpTheRunner(t *testing.T) {
	t.Parallel()
	s := stand(t, `{}`)
	r := s.start(func(c *runner.Config) { c.DrainTimeout = 10 * time.Millisecond })
	s.held()
	r.stop()
	s.gone()
}

func TestAProgramThatIsHeldDiesWithItsRunner(t *testing.T) {
	t.Parallel()
	s := stand(t, `{"much":"`+strings.Repeat("x", 1<<17)+`"}`) // more than a pipe holds
	_, kill := s.startProcess(t.TempDir())
	s.held()
	kill()
	s.gone()
}
