// Package packwatch tells when the files of a pack have changed.
//
// It guarantees that after a burst of changes, in folders that were made meanwhile too, one word comes when they have
// been still for a while; that a change is never missed because another is being told; and that what is no part of a
// pack counts for nothing.
package packwatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/attune/attune/pkg/pack"
)

// Watcher watches a pack's folder.
type Watcher struct {
	dir     string
	quiet   time.Duration
	notify  *fsnotify.Watcher
	changed chan struct{}
}

// New watches a folder from now on. Quiet is how long it must be still before a change is told. The caller runs it,
// and closes it.
func New(dir string, quiet time.Duration) (*Watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w := &Watcher{dir: dir, quiet: quiet, notify: n, changed: make(chan struct{}, 1)}
	if err := w.add(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), n.Close())
	}
	return w, nil
}

// Close ends the watch.
func (w *Watcher) Close() error { return w.notify.Close() }

// Changed gives a word after every burst of changes; two that nobody took are one.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// add watches a folder and those in it.
func (w *Watcher) add(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it has gone already
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case name != w.dir && pack.LeftOut(d.Name()):
			return fs.SkipDir
		}
		return w.notify.Add(name)
	})
}

// Run tells changes until the context ends.
func (w *Watcher) Run(ctx context.Context) error {
	still := time.NewTimer(0)
	defer still.Stop()
	<-still.C
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.notify.Events:
			if !ok {
				return nil
			}
			counts, err := w.note(e)
			if err != nil {
				return err
			}
			if counts {
				still.Reset(w.quiet)
			}
		case err, ok := <-w.notify.Errors:
			if !ok {
				return nil
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch %s: %w", w.dir, err)
			}
			still.Reset(w.quiet) // what was missed is a change
		case <-still.C:
			w.tell()
		}
	}
}

func (w *Watcher) tell() {
	select {
	case w.changed <- struct{}{}:
	default: // it is told already, and not taken yet
	}
}

// note tells whether an event is a change of the pack, and watches folders that are new.
func (w *Watcher) note(e fsnotify.Event) (bool, error) {
	if pack.LeftOut(filepath.Base(e.Name)) {
		return false, nil
	}
	if e.Has(fsnotify.Create) {
		if err := w.add(e.Name); err != nil {
			return false, fmt.Errorf("watch %s: %w", e.Name, err)
		}
	}
	return true, nil
}
