package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// bind is a folder that rooms show at its own path.
type bind struct {
	path     string
	writable bool
}

// shadow is an empty folder that rooms have in place of another.
type shadow struct {
	path    string
	options string // of the file system in memory
}

// Sizes of what rooms have in memory: it is the machine's, and a program can fill it.
const (
	sharedOptions = "mode=1777,size=256m,nr_inodes=65536"
	hollowOptions = "mode=0755,size=1m"
)

// wants tells whether a folder has to be bound for a user of its own to reach it: it lies in a folder that rooms do
// not have, or that only others may enter.
func (s *Sandbox) wants(path string) (hollow []string, needed bool) {
	for _, sh := range s.shadows {
		if within(path, sh.path) {
			return nil, true
		}
	}
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			hollow, needed = []string{dir}, true // the outermost counts
		}
	}
	return hollow, needed
}

// Show has rooms show folders to users that could not reach them. It matters to rooms that are made later.
func (s *Sandbox) Show(writable bool, paths ...string) error {
	if s == nil || !s.rooms {
		return nil
	}
	real, err := resolve(paths)
	if err != nil {
		return fmt.Errorf("show: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range real {
		if slices.ContainsFunc(s.needed, func(b bind) bool { return within(path, b.path) && (b.writable || !writable) }) {
			continue
		}
		hollow, needed := s.wants(path)
		if !needed {
			continue
		}
		for _, dir := range hollow {
			s.shadows = append(s.shadows, shadow{path: dir, options: hollowOptions})
		}
		s.needed = append(s.needed, bind{path: path, writable: writable})
		s.view.Add(1)
	}
	return nil
}

// arrange gives the calling thread's mount namespace the view of a room.
func (s *Sandbox) arrange() error {
	s.mu.Lock()
	shadows, binds := slices.Clone(s.shadows), slices.Clone(s.needed)
	s.mu.Unlock()
	slices.SortFunc(shadows, func(a, b shadow) int { return strings.Compare(a.path, b.path) })
	slices.SortFunc(binds, func(a, b bind) int { return strings.Compare(a.path, b.path) })
	// What the host mounts and unmounts later is seen; what is done here is not seen there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("mounts: %w", err)
	}
	trees, err := pick(binds)
	defer func() {
		for _, fd := range trees {
			_ = unix.Close(fd) // it has nothing to flush
		}
	}()
	if err != nil {
		return err
	}
	for _, sh := range shadows {
		err := unix.Mount("attune", sh.path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, sh.options)
		if err != nil && !errors.Is(err, unix.ENOENT) { // one that lies in another has gone with it
			return fmt.Errorf("mount on %s: %w", sh.path, err)
		}
	}
	for i, b := range binds {
		if err := place(trees[i], b); err != nil {
			return err
		}
	}
	return nil
}

// pick takes copies of folders before they are covered.
func pick(binds []bind) (trees []int, err error) {
	for _, b := range binds {
		fd, err := unix.OpenTree(unix.AT_FDCWD, b.path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return trees, fmt.Errorf("take %s: %w", b.path, err)
		}
		trees = append(trees, fd)
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
		if !b.writable {
			attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
		}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
			return trees, fmt.Errorf("take %s: %w", b.path, err)
		}
	}
	return trees, nil
}

// place puts a copy where the folder was.
func place(tree int, b bind) error {
	var st unix.Stat_t
	err := unix.Fstat(tree, &st)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = os.MkdirAll(b.path, 0o755) //nolint:gosec // in a file system of the room's own, for a user of its own
	} else if err == nil {
		err = touch(b.path)
	}
	if err == nil {
		err = unix.MoveMount(tree, "", unix.AT_FDCWD, b.path, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	if err != nil {
		return fmt.Errorf("show %s: %w", b.path, err)
	}
	return nil
}

// touch makes an empty file for another to be put upon.
func touch(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // likewise
		return err
	}
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
