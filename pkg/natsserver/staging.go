package natsserver

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A server without replicas stages an atomic batch in a store of its own, in the folder "batches" of the stream, with some
// twenty syncs to disk, before it stores the batch in the stream with one. What is staged never outlives the server, which
// removes the folder when it starts: to sync it protects nothing. So that folder is put into memory here, and a batch
// takes as long as a message. (server/jetstream.go and jetstream_batching.go of nats-server 2.15.2.)

const (
	batchesFolder = "batches"
	stagingPrefix = "attune-batches-"
)

// Stage has the server stage atomic batches in memory, for all streams that there are by now, and tells whether it does.
// Where it cannot, they are staged on the disk, which takes longer.
func (s *Server) Stage() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stage()
}

func (s *Server) stage() bool {
	err := s.tryStage()
	if err != nil {
		s.cfg.Logger.Debug("batches are staged on the disk", slog.Any("error", err))
	}
	return err == nil
}

func (s *Server) tryStage() error {
	streams, err := s.streamFolders()
	if err != nil || len(streams) == 0 {
		return err
	}
	if s.staging == "" {
		if s.staging, err = memoryFolder(); err != nil {
			return err
		}
	}
	for _, folder := range streams {
		if err := stageAt(filepath.Join(folder, batchesFolder), filepath.Join(s.staging, filepath.Base(folder))); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) streamFolders() ([]string, error) {
	return filepath.Glob(filepath.Join(s.cfg.Dir, "store", "jetstream", "*", "streams", "*"))
}

// stageAt puts a link where the server makes its folder. One in which a batch is under way stays as it is.
func stageAt(link, folder string) error {
	if target, err := os.Readlink(link); err == nil && target == folder {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stage in memory: %w", err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("stage in memory: %w", err)
	}
	return os.Symlink(folder, link)
}

// unstage removes what is in memory, of this server or of one that was killed.
func (s *Server) unstage() {
	if s.staging != "" {
		_ = os.RemoveAll(s.staging) // it is memory, and the next start looks again
		s.staging = ""
	}
	folders, err := s.streamFolders()
	if err != nil {
		return
	}
	for _, folder := range folders {
		link := filepath.Join(folder, batchesFolder)
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		_ = os.Remove(link) // the server does the same
		if above := filepath.Dir(target); staged(above) {
			_ = os.RemoveAll(above)
		}
	}
}

// staged tells whether a folder is one that a server of this user made to stage in.
func staged(folder string) bool {
	if matched, _ := filepath.Match(stagingPrefix+"*", filepath.Base(folder)); !matched {
		return false
	}
	var st unix.Stat_t
	return unix.Lstat(folder, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Geteuid()
}

// errNoMemory is returned where no file system in memory may be written to.
var errNoMemory = errors.New("no file system in memory")

// leastMemory is what must be free: batches of a few MiB may be under way on several streams.
const leastMemory = 48 << 20

// memoryFolder makes a folder, of this user alone, in a file system that is in memory.
func memoryFolder() (string, error) {
	for _, above := range []string{"/dev/shm", os.Getenv("XDG_RUNTIME_DIR")} {
		var st unix.Statfs_t
		if above == "" || unix.Statfs(above, &st) != nil || st.Type != unix.TMPFS_MAGIC || int64(st.Bavail)*st.Bsize < leastMemory {
			continue
		}
		if folder, err := os.MkdirTemp(above, stagingPrefix); err == nil {
			return folder, nil
		}
	}
	return "", errNoMemory
}
