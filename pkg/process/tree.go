package process

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long a tree is killed before what is left is reported, and the longest pause between looks.
const (
	killFor   = 5 * time.Second
	killPause = 10 * time.Millisecond
)

// owns tells whether a process belongs to the run. In a room it is the room that decides, else the mark; what has none of ours may have been
// forked before it was set, and is known by its session or its environment.
func (r *run) owns(pid int) bool {
	if pid == r.pid {
		return false
	}
	if r.room != nil {
		return r.room.holds(pid)
	}
	if m := markOf(pid); r.mark.family(m) {
		return m == r.mark
	}
	if sid, err := unix.Getsid(pid); err == nil && sid == r.pid {
		return true
	}
	return hasEnviron(pid, r.spec.Environ)
}

// leftovers tells whether any process of the tree outlived the first one: its orphans have come to us. Those
// that have ended are reaped on the way.
func (r *run) leftovers() bool {
	if r.room != nil {
		return r.room.populated()
	}
	found := false
	for _, pid := range adopted() {
		if r.l.isMain(pid) || !r.owns(pid) {
			continue
		}
		if zombie(pid) {
			r.l.reapOrphan(pid)
			continue
		}
		found = true
	}
	return found
}

// signalTree sends a signal to every process of the tree.
func (r *run) signalTree(sig syscall.Signal) {
	_ = syscall.Kill(-r.pid, sig) // the first process may be the only one, and have ended
	for _, pid := range every() {
		if sid, err := unix.Getsid(pid); err == nil && sid == r.pid && inGroup(pid, r.pid) {
			continue // it has its signal
		}
		killIf(pid, sig, r.owns)
	}
}

func inGroup(pid, group int) bool {
	g, err := unix.Getpgid(pid)
	return err == nil && g == group
}

// killTree kills until a look finds nothing of the tree alive: what forks while it is killed is found by the
// next look.
func (r *run) killTree() {
	deadline := time.Now().Add(killFor)
	for pause := time.Millisecond; ; pause = min(2*pause, killPause) {
		r.LeftBehind = r.killOnce()
		if r.LeftBehind == 0 || time.Now().After(deadline) {
			return
		}
		time.Sleep(pause) //nolint:forbidigo // the kernel takes a moment to end what was killed; nothing tells when
	}
}

func (r *run) killOnce() (alive int) {
	_ = syscall.Kill(-r.pid, syscall.SIGKILL) // it may have ended
	r.room.kill()
	for _, pid := range every() {
		if killIf(pid, syscall.SIGKILL, r.owns) {
			alive++
		}
	}
	r.leftovers() // reaps
	return alive
}
