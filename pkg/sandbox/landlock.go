package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights to files, as Landlock has them.
const (
	rightRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_EXECUTE

	rightDevice = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	rightWrite = rightRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER

	rightAll = rightWrite | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	// rightsOfFiles are those that mean something for a file; the kernel refuses the others for one.
	rightsOfFiles = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// Versions of Landlock that brought a right or a scope.
const (
	abiRefer    = 2
	abiTruncate = 3
	abiIoctl    = 5
	abiScopes   = 6
)

// erratumSignals is the repair by which threads of one process may signal each other across a scope: the Go runtime does.
const erratumSignals = 1 << 1

// landlock is what this kernel's Landlock can do.
type landlock struct {
	abi    int
	files  uint64 // rights that it knows
	scoped uint64
}

// detectLandlock asks the kernel.
func detectLandlock() (landlock, error) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return landlock{}, fmt.Errorf("landlock: %w", errno)
	}
	l := landlock{abi: int(abi), files: rightAll}
	for since, right := range map[int]uint64{
		abiRefer: unix.LANDLOCK_ACCESS_FS_REFER, abiTruncate: unix.LANDLOCK_ACCESS_FS_TRUNCATE, abiIoctl: unix.LANDLOCK_ACCESS_FS_IOCTL_DEV,
	} {
		if l.abi < since {
			l.files &^= right
		}
	}
	if l.abi >= abiScopes {
		l.scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		errata, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_ERRATA)
		if errno == 0 && errata&erratumSignals != 0 {
			l.scoped |= unix.LANDLOCK_SCOPE_SIGNAL
		}
	}
	return l, nil
}

// ruleset is a set of rules that is being made. Its descriptor closes at the next exec.
type ruleset struct {
	fd    int
	knows uint64
}

func (l landlock) newRuleset() (ruleset, error) {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: l.files, Scoped: l.scoped}
	size := unsafe.Offsetof(attr.Scoped) + unsafe.Sizeof(attr.Scoped)
	if l.abi < abiScopes {
		size = unsafe.Sizeof(attr.Handled_access_fs) // older kernels refuse what they do not know
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return ruleset{}, fmt.Errorf("landlock: ruleset: %w", errno)
	}
	return ruleset{fd: int(fd), knows: l.files}, nil
}

// pathRule is the kernel's landlock_path_beneath_attr, which is packed: 12 bytes.
type pathRule [12]byte

// allow adds rights to what lies at and below an open file.
func (r ruleset) allow(b beneath) error {
	var rule pathRule
	binary.NativeEndian.PutUint64(rule[:8], b.rights&r.knows)
	binary.NativeEndian.PutUint32(rule[8:], uint32(b.fd)) //nolint:gosec // descriptors are small
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: rule: %w", errno)
	}
	return nil
}

// restrict takes everything else from the calling thread and what it starts.
func (r ruleset) restrict() error {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.fd), 0, 0); errno != 0 {
		return fmt.Errorf("landlock: restrict: %w", errno)
	}
	return nil
}

func (r ruleset) close() { _ = unix.Close(r.fd) } // it has nothing to flush

// beneath is an open file or folder, and rights to what is below it.
type beneath struct {
	fd     int
	rights uint64
}

// openBeneath opens a file or folder for a rule. A symbolic link is followed only where follow says so.
func openBeneath(path string, rights uint64, follow bool) (beneath, error) {
	flags := unix.O_PATH | unix.O_CLOEXEC
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Open(path, flags, 0)
	if err != nil {
		return beneath{}, fmt.Errorf("open %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return beneath{}, errors.Join(fmt.Errorf("stat %s: %w", path, err), unix.Close(fd))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= rightsOfFiles
	}
	return beneath{fd: fd, rights: rights}, nil
}

func (b beneath) close() { _ = unix.Close(b.fd) } // likewise
