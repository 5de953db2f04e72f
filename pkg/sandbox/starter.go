package sandbox

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Starter is a thread under a policy that starts one program after the other. To put a thread under a policy takes as
// long as to start a program, and a program changes nothing about the thread that started it. The program's user and its
// System V objects are not the thread's: each program gets its own.
type Starter struct {
	policy Policy
	room   *Room
	work   chan func() // taken by the thread, which ends when it is closed
}

// NewStarter puts a thread under a policy, in a room if there is one. Who has it stops it in the end, whether or not
// there is an error.
func (s *Sandbox) NewStarter(p *Policy, room *Room) (*Starter, error) {
	t := &Starter{policy: *p, room: room, work: make(chan func())}
	entered := make(chan error, 1)
	Spend(func() {
		err := s.enter(p, room)
		entered <- err
		if err != nil {
			return
		}
		for f := range t.work {
			f()
		}
	})
	return t, <-entered
}

// Fits tells whether a program under a policy may be started: the thread may do what the policy says, and no more.
func (t *Starter) Fits(p *Policy) bool {
	return t != nil && p != nil && (t.policy.User == 0) == (p.User == 0) && slices.Equal(t.policy.Read, p.Read) && slices.Equal(t.policy.Write, p.Write)
}

// Go calls start on the thread, in the background: after what it was given before. It has completed how a program is to
// be started there, whose policy must fit. The program dies with the thread.
func (t *Starter) Go(p *Policy, attr *syscall.ProcAttr, start func()) {
	if p.User != 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: p.User, Gid: p.User}
	}
	attr.Sys.Pdeathsig = syscall.SIGKILL
	if t.room != nil {
		attr.Sys.Cloneflags |= unix.CLONE_NEWIPC
		attr.Sys.Pdeathsig = deathInRoom
	}
	t.work <- start
}

// Stop ends the thread after what it was given.
func (t *Starter) Stop() {
	if t != nil {
		close(t.work)
	}
}
