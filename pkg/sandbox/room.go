package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Room is a namespace of processes and of mounts that one program at a time has for itself. Its first process is a child
// of this one, does nothing, and takes everything with it when it is killed. A program in it cannot change what is
// mounted; when it has left no process and no file, nothing tells the room from a new one, and another may have it.
// System V objects and message queues cannot be looked for, so the namespace of these is each program's own.
type Room struct {
	PID  int // of its first process
	fd   int // of the same
	view uint64
	id   uint64 // of its namespace of processes
	commons
}

// namespacesOfRoom are what a room has for itself.
const namespacesOfRoom = unix.CLONE_NEWNS | unix.CLONE_NEWPID

// openRooms makes ready what rooms need, where this process may make them.
func (s *Sandbox) openRooms(c Config) (err error) {
	switch {
	case os.Geteuid() != 0:
		s.withoutRooms = "only root may make them"
		return nil
	case c.Users == Range{}:
		s.withoutRooms = "programs have no users of their own"
		return nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if s.init, err = writeInit(c.Dir); err != nil {
		return err
	}
	if s.public, s.shadows, err = shadowsOf(c.Hidden); err != nil {
		return err
	}
	s.rooms = true
	room, err := s.NewRoom(nil)
	if err != nil {
		s.rooms, s.withoutRooms = false, err.Error()
		return nil //nolint:nilerr // a machine that forbids rooms has none, and Features says so
	}
	room.Kill()
	Reap(room.PID, nil)
	room.Close()
	s.users = newUsers(c.Users)
	return errors.Join(s.Show(false, c.Read...), s.Show(true, c.Write...))
}

// shadowsOf lists the folders that rooms do not have, and of them those that programs share.
func shadowsOf(hidden []string) (public []string, all []shadow, err error) {
	public, err1 := resolve(shared)
	secret, err2 := resolve(hidden)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, fmt.Errorf("hidden: %w", err)
	}
	public = slices.DeleteFunc(public, func(path string) bool { return !isFolder(path) }) // not every machine has each
	for _, path := range public {
		all = append(all, shadow{path: path, options: sharedOptions})
	}
	for _, path := range secret {
		if isFolder(path) && !slices.ContainsFunc(all, func(sh shadow) bool { return within(path, sh.path) }) {
			all = append(all, shadow{path: path, options: hollowOptions})
		}
	}
	return public, all, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Rooms tells whether programs with a user of their own have rooms.
func (s *Sandbox) Rooms() bool { return s != nil && s.rooms }

// NewRoom makes a room. Its first process is a child of the caller, who is told of it at once and reaps it; the one of
// a room that failed has been reaped.
func (s *Sandbox) NewRoom(born func(pid int)) (room *Room, err error) {
	var fd [2]int
	if err := syscall.Pipe2(fd[:], syscall.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("room: pipe: %w", err)
	}
	_ = syscall.SetNonblock(fd[0], true) // so that a read of it may have a deadline
	ready := os.NewFile(uintptr(fd[0]), "|room")
	defer func() { _ = ready.Close() }() // it was only read
	err = onThread(func() (err error) { room, err = s.build(fd[1], born); return err })
	_ = syscall.Close(fd[1]) // the first process has its own
	if err != nil {
		return nil, fmt.Errorf("room: %w", err)
	}
	if err := room.awaitReady(ready, birth); err != nil {
		return nil, fmt.Errorf("room: its first process: %w", err)
	}
	room.id = processesOf(room.PID) // here, where /proc is the host's
	return room, nil
}

// build makes the namespaces on the calling thread, and the process that keeps them.
func (s *Sandbox) build(ready int, born func(pid int)) (*Room, error) {
	room := &Room{view: s.view.Load()}
	program, err := unix.Open(s.init, unix.O_PATH|unix.O_CLOEXEC, 0) // the room may not show it
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.init, err)
	}
	defer func() { _ = unix.Close(program) }() // it has nothing to flush
	if err := unix.Unshare(unix.CLONE_FS | namespacesOfRoom); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err := s.arrange(); err != nil {
		return nil, err
	}
	if room.commons, err = foundCommons(s.public); err != nil {
		return nil, err
	}
	out := uintptr(ready)
	room.PID, err = syscall.ForkExec("/proc/self/fd/3", []string{initName}, &syscall.ProcAttr{ // other numbers a fork may use itself
		Dir: "/", Files: []uintptr{out, out, out, uintptr(program)}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", initName, err)
	}
	if born != nil {
		born(room.PID)
	}
	if room.fd, err = unix.PidfdOpen(room.PID, 0); err != nil {
		_ = syscall.Kill(room.PID, syscall.SIGKILL) // it is ours, and not reaped
		Reap(room.PID, nil)
		return nil, fmt.Errorf("open process: %w", err)
	}
	return room, nil
}

// birth bounds how long a first process may take to begin. It is one page of code; who is slower was stopped.
const birth = 30 * time.Second

// awaitReady waits until the first process says by a byte that it is there. One that ends first, or is late, is reaped.
func (r *Room) awaitReady(ready *os.File, bound time.Duration) error {
	_ = ready.SetReadDeadline(time.Now().Add(bound)) // without it the wait has no bound
	_, err := ready.Read(make([]byte, 1))
	if err == nil {
		return nil
	}
	r.Kill()
	status := Reap(r.PID, nil)
	r.Close()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("not ready within %v", bound)
	case status.Exited():
		return syscall.Errno(status.ExitStatus())
	}
	return fmt.Errorf("ended: %s", status.Signal())
}

// Reap waits for a child and takes its exit status. usage may be nil.
func Reap(pid int, usage *syscall.Rusage) (status syscall.WaitStatus) {
	for {
		if _, err := syscall.Wait4(pid, &status, 0, usage); !errors.Is(err, syscall.EINTR) {
			return status
		}
	}
}

// Stale tells whether a room was made before something was shown that rooms show by now.
func (s *Sandbox) Stale(r *Room) bool { return r.view != s.view.Load() }

// enter takes the calling thread into the room. What it starts has the room's processes for company.
func (r *Room) enter() error {
	if err := unix.Setns(r.fd, namespacesOfRoom); err != nil {
		return fmt.Errorf("enter room: %w", err)
	}
	return nil
}

// Stands tells whether the room's first process, and with it the room, is still there.
func (r *Room) Stands() bool { return !Ended(r.fd) }

// Ended tells whether the process of a descriptor of one (pidfd_open(2)) has ended, reaped or not.
func Ended(pidfd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0) //nolint:gosec // descriptors are small
		if !errors.Is(err, unix.EINTR) {
			return n != 0 || err != nil
		}
	}
}

// Holds tells whether a process is in the room.
func (r *Room) Holds(pid int) bool { return r.id != 0 && processesOf(pid) == r.id }

// processesOf identifies the namespace of a process; 0 when it has gone.
func processesOf(pid int) uint64 {
	var st unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/pid", &st); err != nil {
		return 0
	}
	return st.Ino
}

// Kill ends everything in the room. It is over when its first process has ended and been reaped.
func (r *Room) Kill() {
	_ = unix.PidfdSendSignal(r.fd, unix.SIGKILL, nil, 0) // it may have ended
}

// Close gives up the descriptor.
func (r *Room) Close() { _ = unix.Close(r.fd) } // it has nothing to flush
