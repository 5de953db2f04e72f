package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/streams"
)

// A bucket that was made anew has fewer entries than its watchers have seen: without an end they would wait for the
// sequences to catch up.
func TestAWatchEndsWhenItsBucketWasReplacedWhileTheServerWasAway(t *testing.T) {
	t.Parallel()
	w := newWatched(t, time.Hour)
	w.replace(t)
	if err := w.server.Restart(); err != nil {
		t.Fatal(err)
	}
	w.ends(t)
	if again := w.open(t, time.Hour); again.next(t).Key() != "new" {
		t.Error("what is in the new bucket was not read")
	}
}

func TestAWatchEndsWhenItsBucketWasReplaced(t *testing.T) {
	t.Parallel()
	w := newWatched(t, 10*time.Millisecond)
	w.replace(t)
	w.ends(t)
}

func TestAWatchGoesOnWhileItsBucketIsTheSame(t *testing.T) {
	t.Parallel()
	w := newWatched(t, time.Millisecond)
	for range 20 {
		w.put(t, "later")
		if e := w.next(t); e.Key() != "later" {
			t.Errorf("got %s", e.Key())
		}
	}
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	w.ends(t)
}

// watched is a watch of a bucket that three entries were written to.
type watched struct {
	jetstream.KeyWatcher
	server *natsserver.Server
	bus    *Bus
}

func newWatched(t *testing.T, every time.Duration) *watched {
	t.Helper()
	s, err := natsserver.Start(natsserver.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncSlow: true, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	b, err := Connect(t.Context(), Config{URL: s.URL(), CredsFile: s.CredsFile(), Name: "watch", InProcess: s.InProcess()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w := &watched{server: s, bus: b}
	if err := streams.Ensure(t.Context(), b.JS, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a", "a"} {
		w.put(t, key)
	}
	w.KeyWatcher = w.open(t, every).KeyWatcher
	if e := w.next(t); e.Key() != "a" || e.Revision() != 3 {
		t.Fatalf("first entry: %+v", e)
	}
	if e := w.next(t); e != nil {
		t.Fatalf("after all that there is: %+v", e)
	}
	return w
}

func (w *watched) open(t *testing.T, every time.Duration) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	watch, err := watchLooking(ctx, w.bus.JS, streams.BucketConfigs, jetstream.AllKeys, every)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = watch.Stop() })
	return &watched{KeyWatcher: watch, server: w.server, bus: w.bus}
}

func (w *watched) put(t *testing.T, key string) {
	t.Helper()
	kv, err := w.bus.JS.KeyValue(t.Context(), streams.BucketConfigs)
	if err == nil {
		_, err = kv.PutString(t.Context(), key, "{}")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// replace removes the bucket and makes it anew, with one entry.
func (w *watched) replace(t *testing.T) {
	t.Helper()
	err := w.bus.JS.DeleteKeyValue(t.Context(), streams.BucketConfigs)
	if err == nil {
		err = streams.Ensure(t.Context(), w.bus.JS, streams.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.put(t, "new")
}

func (w *watched) next(t *testing.T) jetstream.KeyValueEntry {
	t.Helper()
	select {
	case e, open := <-w.Updates():
		if !open {
			t.Fatal("the watch has ended")
		}
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
	}
	return nil
}

func (w *watched) ends(t *testing.T) {
	t.Helper()
	for over := time.After(30 * time.Second); ; {
		select {
		case _, open := <-w.Updates():
			if !open {
				return
			}
		case <-over:
			t.Fatal("the watch has not ended")
		}
	}
}
