package sandbox

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// starterOf gives a starter under the policy of a site, which is stopped when the test ends.
func starterOf(t *testing.T, p *site, room *Room) *Starter {
	t.Helper()
	s, err := p.NewStarter(&p.policy, room)
	t.Cleanup(s.Stop)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestProgramsOfOneStarterShareNothing(t *testing.T) {
	t.Parallel()
	p := open(t, DefaultUsers)
	starter := starterOf(t, p, p.room)
	const about = `echo $(id -u) $(readlink /proc/self/ns/ipc) $(umask)`
	first := strings.Fields(p.shBy(t, starter, &p.policy, about))
	user, err := p.TakeUser()
	if err != nil {
		t.Fatal(err)
	}
	other := p.policy
	other.User = user
	if !starter.Fits(&other) {
		t.Fatal("another user does not fit")
	}
	second := strings.Fields(p.shBy(t, starter, &other, about))
	if len(first) != 3 || len(second) != 3 || first[0] == second[0] || first[1] == second[1] || first[2] != second[2] {
		t.Errorf("%v, then %v", first, second)
	}
}

// The filter leaves this to the kernel, which asks for a capability.
func TestWhoHasNoCapabilitiesMakesNoNamespaceOfSystemVObjects(t *testing.T) {
	t.Parallel()
	p := open(t, Range{})
	starter := starterOf(t, p, nil)
	attr := &syscall.ProcAttr{Dir: "/", Env: os.Environ(), Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWIPC}}
	if pid, err := startBy(starter, &p.policy, attr, "true"); !errors.Is(err, unix.EPERM) {
		t.Errorf("%d, %v", pid, err)
	}
}

func TestAStarterFitsItsPolicyAlone(t *testing.T) {
	t.Parallel()
	s := &Starter{policy: Policy{Read: []string{"/a"}, Write: []string{"/b"}, User: 1}}
	for _, c := range []struct {
		p    *Policy
		want bool
	}{
		{&Policy{Read: []string{"/a"}, Write: []string{"/b"}, User: 2}, true},
		{&Policy{Read: []string{"/a"}, Write: []string{"/b"}, User: 1, Limits: Limits{Processes: 3}}, true},
		{&Policy{Read: []string{"/a"}, Write: []string{"/b"}}, false},
		{&Policy{Read: []string{"/a"}, Write: []string{"/c"}, User: 1}, false},
		{&Policy{Read: []string{"/a", "/c"}, Write: []string{"/b"}, User: 1}, false},
		{&Policy{Write: []string{"/b"}, User: 1}, false},
		{nil, false},
	} {
		if got := s.Fits(c.p); got != c.want {
			t.Errorf("%+v: %t", c.p, got)
		}
	}
	if (*Starter)(nil).Fits(&Policy{}) {
		t.Error("no starter fits")
	}
}

// Launchers tell by this error that the room has gone.
func TestNothingStartsInARoomThatHasGone(t *testing.T) {
	t.Parallel()
	p := open(t, DefaultUsers)
	starter := starterOf(t, p, p.room)
	p.room.Kill()
	if err := unix.Waitid(unix.P_PID, p.room.PID, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	attr := &syscall.ProcAttr{Dir: "/", Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true}}
	if pid, err := startBy(starter, &p.policy, attr, "true"); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("%d, %v", pid, err)
	}
}
