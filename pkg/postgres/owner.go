package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// ErrNoOwner is returned when root starts PostgreSQL and there is no unprivileged user to run it as.
var ErrNoOwner = errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")

// owner is the user that the server runs as and that owns its files.
type owner struct {
	name     string
	uid, gid int
	self     bool // this process's own user
}

// currentOwner is this process's user, or an unprivileged one when that is root.
func currentOwner() (owner, error) {
	if uid := os.Geteuid(); uid != 0 {
		return owner{name: strconv.Itoa(uid), uid: uid, gid: os.Getegid(), self: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil {
			return owner{name: name, uid: uid, gid: gid}, nil
		}
	}
	return owner{}, ErrNoOwner
}

// credential is nil when no change of user is needed.
func (o owner) credential() *syscall.Credential {
	if o.self {
		return nil
	}
	return &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid), Groups: []uint32{}}
}

// give hands a file or folder of ours to the owner.
func (o owner) give(path string) error {
	if o.self {
		return nil
	}
	if err := os.Lchown(path, o.uid, o.gid); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, o.name, err)
	}
	return nil
}

// mkdir makes a folder that only the owner may enter, or closes one that is there.
func (o owner) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder of PostgreSQL: %w", err)
	}
	if err := o.give(path); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("close folder of PostgreSQL: %w", err)
	}
	return nil
}

// closed gives the folders on the way to dir, dir included, that the owner may not pass through.
func (o owner) closed(dir string) ([]string, error) {
	if o.self {
		return nil, nil
	}
	var shut []string
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return nil, fmt.Errorf("way to the folder of PostgreSQL: %w", err)
		}
		if !o.passes(info) {
			shut = append(shut, d)
		}
		if d == filepath.Dir(d) {
			return shut, nil
		}
	}
}

func (o owner) passes(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	switch mode := info.Mode().Perm(); {
	case int(st.Uid) == o.uid:
		return mode&0o100 != 0
	case int(st.Gid) == o.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
