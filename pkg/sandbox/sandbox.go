package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrFloor is returned when the least that a sandbox is cannot be had on this machine.
var ErrFloor = errors.New("programs cannot be isolated on this machine")

// Config describes a Sandbox. Dir is required.
type Config struct {
	Dir    string   // for what it needs itself
	Hidden []string // files and folders that no program may reach unless its policy names what is in them
	Read   []string // what every program may read beside what anybody on the machine may
	Write  []string // what every program may change
	Users  Range    // users for programs, where this process may give them; the zero value: none
}

// Sandbox is what programs are put into.
type Sandbox struct {
	land   landlock
	filter []unix.SockFilter
	base   []beneath // what every program may reach; open for as long as the sandbox is
	rooms  bool
	public []string // the shared folders that this machine has, by their real paths
	init   string   // file of the rooms' first process
	users  *users   // nil: programs keep this process's user
	groups *cgroups

	withoutRooms string // why there are none

	view atomic.Uint64 // which one rooms have to have; grows with needed

	mu      sync.Mutex // guards the fields below
	needed  []bind     // what rooms show although it lies in a folder that they do not
	shadows []shadow
}

// Open finds out what this machine can do. The error is ErrFloor where it cannot do enough.
func Open(c Config) (*Sandbox, error) {
	s := &Sandbox{filter: filter(), groups: findCgroups()}
	var err error
	if s.land, err = detectLandlock(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFloor, err)
	}
	if err := s.tryFloor(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFloor, err)
	}
	if err := s.openRooms(c); err != nil {
		return nil, err
	}
	if err := s.openBase(c); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// tryFloor puts a thread that does nothing else under all of it.
func (s *Sandbox) tryFloor() error {
	return onThread(func() error {
		r, err := s.land.newRuleset()
		if err != nil {
			return err
		}
		defer r.close()
		return s.seal(r)
	})
}

// Close gives back what the sandbox holds open. Programs keep what they have.
func (s *Sandbox) Close() error {
	for _, b := range s.base {
		b.close()
	}
	s.base = nil
	return nil
}

// devices are the files of /dev that programs may write to.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"}

// shared are folders that everybody may write to. In a room they are the room's own.
var shared = []string{"/tmp", "/var/tmp", "/dev/shm"}

// openBase opens what every program may reach: what is on the machine, but for what is hidden, what is private to
// users, and what users share.
func (s *Sandbox) openBase(c Config) error {
	home, _ := os.UserHomeDir() // without one there is nothing to hide
	hidden, err := resolve(slices.Concat(c.Hidden, shared, []string{home, "/proc", "/dev", fmt.Sprintf("/run/user/%d", os.Getuid())}))
	if err != nil {
		return fmt.Errorf("hidden: %w", err)
	}
	for _, path := range carve("/", hidden) {
		s.add(path, rightRead) // what has gone since need not be there
	}
	s.add("/dev", unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_READ_DIR)
	for _, path := range devices {
		s.add(path, rightDevice|unix.LANDLOCK_ACCESS_FS_READ_DIR)
	}
	if s.rooms {
		s.add("/", unix.LANDLOCK_ACCESS_FS_READ_DIR) // what may be listed is for permissions to say: the user is a program's own
	}
	for path, rights := range grants(c) {
		if err := s.open(path, rights); err != nil {
			return err
		}
	}
	return nil
}

func grants(c Config) map[string]uint64 {
	all := map[string]uint64{}
	for _, p := range c.Read {
		all[p] = rightRead
	}
	for _, p := range c.Write {
		all[p] = rightWrite
	}
	return all
}

func (s *Sandbox) open(path string, rights uint64) error {
	b, err := openBeneath(path, rights, true)
	if err == nil {
		s.base = append(s.base, b)
	}
	return err
}

func (s *Sandbox) add(path string, rights uint64) {
	if b, err := openBeneath(path, rights, false); err == nil {
		s.base = append(s.base, b)
	}
}
