package runner_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

// What the bus has lost a runner still has: it goes on running it, and stores it again for others.
func TestAPackThatTheBusHasLostIsStoredAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, scripts(map[string]string{"a": "exit 0"}))
	first := d.start(in(dir))
	d.ask(1)
	d.reported(first, streams.Installed, 1)
	first.stop()
	objects, err := d.bus.JS.ObjectStore(t.Context(), streams.ObjectsPacks)
	if err == nil {
		err = objects.Delete(t.Context(), d.digest)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.purge("KV_" + streams.BucketInstalls)
	second := d.start(in(dir))
	if f := d.ended(d.request("a", `{}`)); f.Status != streams.Succeeded {
		t.Errorf("execution: %+v", f.Error)
	}
	eventually(t, patience, "the archive is there again", func() bool {
		_, err := objects.GetInfo(t.Context(), d.digest)
		return err == nil
	})
	second.stop()
	d.start(func(c *runner.Config) { in(dir)(c); c.Spare = time.Millisecond })
	eventually(t, patience, "the folder goes, since nobody asks for it", func() bool {
		_, err := os.Stat(filepath.Join(dir, "packs", d.digest))
		return os.IsNotExist(err)
	})
}

// purge takes everything from a stream.
func (d *desk) purge(stream string) {
	d.t.Helper()
	s, err := d.bus.JS.Stream(d.t.Context(), stream)
	if err == nil {
		err = s.Purge(d.t.Context())
	}
	if err != nil {
		d.t.Fatal(err)
	}
}
