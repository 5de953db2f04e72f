package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// commons are the folders of a room in which programs may leave files.
type commons struct {
	folders []string   // by their real paths: a link would lead to the host's
	made    [][]string // what was in each when the room was made, sorted
}

// untouched is when such a folder was changed last, for as long as nobody has put anything there or taken anything away.
// To say when that was takes the folder's owner, which no program is.
var untouched = unix.Timespec{Sec: 1}

// foundCommons takes the folders of the room that the calling thread is in as they are.
func foundCommons(folders []string) (commons, error) {
	made, err := list("", folders)
	if err != nil {
		return commons{}, err
	}
	c := commons{folders: folders, made: made}
	return c, c.mark("")
}

// Bare tells whether the folders in which a program may leave files hold what they held when the room was made. What
// else it could write to is not the room's. It is to be asked when no process but the first is in the room.
func (r *Room) Bare() bool {
	root := "/proc/" + strconv.Itoa(r.PID) + "/root"
	if r.marked(root) {
		return true
	}
	now, err := list(root, r.folders)
	return err == nil && slices.EqualFunc(now, r.made, slices.Equal) && r.mark(root) == nil
}

// list lists what is in folders. What lies deeper is of this process, and no program may change it.
func list(root string, folders []string) (all [][]string, err error) {
	for _, path := range folders {
		entries, err := os.ReadDir(root + path)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		all = append(all, names)
	}
	return all, nil
}

// mark says of the folders that they are untouched.
func (c commons) mark(root string) error {
	for _, path := range c.folders {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, untouched}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, root+path, times, 0); err != nil {
			return fmt.Errorf("mark %s: %w", path, err)
		}
	}
	return nil
}

// marked tells whether all folders are untouched.
func (c commons) marked(root string) bool {
	return !slices.ContainsFunc(c.folders, func(path string) bool {
		var st unix.Stat_t
		return unix.Stat(root+path, &st) != nil || st.Mtim != untouched
	})
}
