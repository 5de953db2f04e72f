package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/fsnotify/fsnotify"
)

// What can happen to a file.
const (
	fileCreated = "create"
	fileWritten = "write"
	fileRemoved = "remove"
	fileRenamed = "rename"
)

// maxFolders bounds how many folders are watched, and maxResting how many files may be waiting to rest.
const (
	maxFolders = 10_000
	maxResting = 100_000
)

type filesConfig struct {
	Paths  []string `json:"paths"`
	Events []string `json:"events"`
	Settle duration `json:"settle"`
}

// watchFiles reports files that fit a pattern: a file that is created or written once it has rested for a time, one
// that goes at once.
func watchFiles(ctx context.Context, s *stage) error {
	c := filesConfig{Events: []string{fileCreated, fileWritten, fileRemoved, fileRenamed}, Settle: duration(500 * time.Millisecond)}
	if err := s.config(&c); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	c.openFolders()
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	defer w.Close() //nolint:errcheck // nothing is lost with it
	f := &fileWatch{filesConfig: c, stage: s, watcher: w, resting: map[string]rest{}}
	for _, pattern := range c.Paths {
		base, _ := doublestar.SplitPattern(pattern)
		if err := f.addTree(base, false); err != nil {
			return err
		}
	}
	s.say("watching %d folders", len(w.WatchList()))
	return f.follow(ctx)
}

func (c filesConfig) check() error {
	if len(c.Paths) == 0 {
		return wrong("paths is empty: name the files to watch, such as /srv/in/*.csv")
	}
	for _, p := range c.Paths {
		if !filepath.IsAbs(p) || !doublestar.ValidatePathPattern(p) {
			return wrong("paths: %q is not an absolute path or pattern", p)
		}
	}
	for _, e := range c.Events {
		if !slices.Contains([]string{fileCreated, fileWritten, fileRemoved, fileRenamed}, e) {
			return wrong("events: %q is none of create, write, remove, rename", e)
		}
	}
	return nil
}

// openFolders takes a folder that is named by itself for the files in it.
func (c filesConfig) openFolders() {
	for i, p := range c.Paths {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			c.Paths[i] = filepath.Join(p, "*")
		}
	}
}

// fileWatch is what is known of the files. It belongs to one goroutine.
type fileWatch struct {
	filesConfig
	*stage
	watcher *fsnotify.Watcher
	resting map[string]rest
}

// rest is a file that has changed, until it does not for a while.
type rest struct {
	created bool
	until   time.Time
}

// addTree watches a folder and those below it that patterns reach. With report the files in it are new.
func (f *fileWatch) addTree(dir string, report bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == dir && !report:
			return fmt.Errorf("watch %s: %w", path, err)
		case err != nil:
			return nil // it has gone meanwhile, or is not for us
		case !d.IsDir():
			if report {
				f.changed(path, true)
			}
			return nil
		case path != dir && !f.reaches(path):
			return filepath.SkipDir
		case len(f.watcher.WatchList()) >= maxFolders:
			return fmt.Errorf("watch %s: more than %d folders fit the patterns", path, maxFolders)
		}
		if err := f.watcher.Add(path); err != nil {
			return fmt.Errorf("watch %s: %w", path, err)
		}
		return nil
	})
}

// reaches tells whether a pattern may fit something in a folder.
func (f *fileWatch) reaches(dir string) bool {
	for _, pattern := range f.Paths {
		for p := pattern; p != "/" && p != "."; p = filepath.Dir(p) {
			if fits, _ := doublestar.PathMatch(p, dir); fits { // patterns were checked
				return true
			}
		}
	}
	return false
}

func (f *fileWatch) fits(path string) bool {
	return slices.ContainsFunc(f.Paths, func(pattern string) bool {
		ok, _ := doublestar.PathMatch(pattern, path) // patterns were checked
		return ok
	})
}

func (f *fileWatch) follow(ctx context.Context) error {
	look := time.NewTicker(max(time.Duration(f.Settle)/4, 10*time.Millisecond))
	defer look.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e := <-f.watcher.Events:
			err = f.see(e)
		case failed := <-f.watcher.Errors:
			if errors.Is(failed, fsnotify.ErrEventOverflow) {
				f.say("changes came faster than they could be read, some were missed")
				continue
			}
			err = fmt.Errorf("watch files: %w", failed)
		case now := <-look.C:
			err = f.settle(now)
		}
		if err != nil {
			return err
		}
	}
}

func (f *fileWatch) see(e fsnotify.Event) error {
	switch {
	case e.Has(fsnotify.Create):
		if info, err := os.Lstat(e.Name); err == nil && info.IsDir() {
			if !f.reaches(e.Name) {
				return nil
			}
			return f.addTree(e.Name, true)
		}
		f.changed(e.Name, true)
	case e.Has(fsnotify.Write):
		f.changed(e.Name, false)
	case e.Has(fsnotify.Remove):
		return f.gone(e.Name, fileRemoved)
	case e.Has(fsnotify.Rename):
		return f.gone(e.Name, fileRenamed)
	}
	return nil
}

func (f *fileWatch) changed(path string, created bool) {
	if !f.fits(path) || len(f.resting) >= maxResting {
		return
	}
	f.resting[path] = rest{created: created || f.resting[path].created, until: time.Now().Add(time.Duration(f.Settle))}
}

// gone reports a file that is no longer there, unless it came and went while it was not to be reported yet.
func (f *fileWatch) gone(path, event string) error {
	one, waiting := f.resting[path]
	delete(f.resting, path)
	if !f.fits(path) || waiting && one.created || !slices.Contains(f.Events, event) {
		return nil
	}
	return f.emit(found{Trigger: "changed", Payload: filePayload(path, event, nil)})
}

// settle reports the files that have rested.
func (f *fileWatch) settle(now time.Time) error {
	for path, one := range f.resting {
		if now.Before(one.until) {
			continue
		}
		delete(f.resting, path)
		event := fileWritten
		if one.created {
			event = fileCreated
		}
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || !slices.Contains(f.Events, event) {
			continue // it has gone, which is reported by itself
		}
		id := fmt.Sprintf("%s|%s|%d|%d", event, path, info.ModTime().UnixNano(), info.Size())
		if len(id) > 500 {
			id = ""
		}
		if err := f.emit(found{Trigger: "changed", ID: id, Payload: filePayload(path, event, info)}); err != nil {
			return err
		}
	}
	return nil
}

func filePayload(path, event string, info fs.FileInfo) map[string]any {
	p := map[string]any{"path": path, "name": filepath.Base(path), "folder": filepath.Dir(path), "event": event}
	if info != nil {
		p["size"], p["modified"] = info.Size(), info.ModTime().UTC()
	}
	return p
}
