package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Policy is what one program may do. The zero value lets it read what anybody on the machine may.
type Policy struct {
	Read   []string // files and folders, beside those of every program
	Write  []string
	User   uint32 // from Sandbox.TakeUser; 0: that of this process
	Limits Limits
}

// Owner is the user that the program has for itself; 0 when it has none, or no policy.
func (p *Policy) Owner() uint32 {
	if p == nil {
		return 0
	}
	return p.User
}

// private is the mask of permissions that files of programs are made with.
const private = 0o077

// enter puts the calling thread under a policy, in a room if there is one. The thread must be one of Spend.
func (s *Sandbox) enter(p *Policy, room *Room) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if room != nil {
		if err := room.enter(); err != nil {
			return err
		}
	}
	unix.Umask(private)
	r, err := s.rules(p, room)
	if err != nil {
		return err
	}
	defer r.close()
	if p.User == 0 {
		if err := dropCapabilities(); err != nil {
			return err
		}
	}
	return s.seal(r)
}

// rules makes the set of what a policy allows.
func (s *Sandbox) rules(p *Policy, room *Room) (ruleset, error) {
	r, err := s.land.newRuleset()
	if err != nil {
		return ruleset{}, err
	}
	for _, b := range s.base {
		err = errors.Join(err, r.allow(b))
	}
	err = errors.Join(err, r.allowPath("/proc", unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_READ_DIR))
	for _, path := range p.Read {
		err = errors.Join(err, r.allowPath(path, rightRead))
	}
	for _, path := range p.Write {
		err = errors.Join(err, r.allowPath(path, rightWrite))
	}
	if room != nil {
		for _, path := range shared {
			if e := r.allowPath(path, rightWrite); !errors.Is(e, unix.ENOENT) {
				err = errors.Join(err, e)
			}
		}
	}
	if err != nil {
		r.close()
	}
	return r, err
}

func (r ruleset) allowPath(path string, rights uint64) error {
	b, err := openBeneath(path, rights, true)
	if err != nil {
		return err
	}
	defer b.close()
	return r.allow(b)
}

// seal takes from the calling thread what cannot be given back.
func (s *Sandbox) seal(r ruleset) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := r.restrict(); err != nil {
		return err
	}
	return filterCalls(s.filter)
}

// dropCapabilities makes of root a user like others, but for the files that are its own.
func dropCapabilities() error {
	if os.Geteuid() != 0 {
		return nil // no_new_privs keeps it from getting any
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capabilities: %w", err)
		}
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // kernels without it have none
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// AsOwner runs a function that bounds a program, as whom the kernel lets do that: who has the program's own user, or
// a right that root need not have. Only the real user changes, of the calling thread, for that long.
func (p *Policy) AsOwner(f func()) {
	if p.Owner() == 0 {
		f()
		return
	}
	const keep = ^uintptr(0)
	set := func(id uintptr) {
		_, _, _ = unix.RawSyscall(unix.SYS_SETRESGID, id, keep, keep) // root may; without it the bounds fail
		_, _, _ = unix.RawSyscall(unix.SYS_SETRESUID, id, keep, keep)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set(uintptr(p.User))
	defer set(0)
	f()
}

// Protect keeps other processes of this user from looking into this one and from reading its memory in a core file,
// and what it inherited open from its programs.
func Protect() error {
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close what was inherited: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("not dumpable: %w", err)
	}
	return nil
}
