package forward_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// Every record says whose output it is, those of the pieces of a long line too. What a version before has written says
// nothing, and comes all the same.
func TestRecordsSayWhoseOutputTheyAre(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	id, before := execution.NewID(), execution.NewID()
	long := []byte(strings.Repeat("é", 100<<10) + "\nend\n")
	f.printOf(t, id, logs.Source{Header: streams.HeaderAction, Name: "shop.deploy"}, long, []byte("oh\n"))
	f.printOf(t, "sensor-shop-door-1", logs.Source{Header: streams.HeaderSensor, Name: "shop.door"}, nil, []byte("one\n"))
	f.printOf(t, "install-1", logs.Source{Header: streams.HeaderPack, Name: "shop"}, []byte("two\n"), nil)
	f.printOf(t, "strange", logs.Source{Header: streams.HeaderAction, Name: "a\xffb"}, []byte("three\n"), nil)
	f.print(t, before, []byte("four\n"), nil)
	stop := f.start(t, c.target())
	eventually(t, "all has come", func() bool {
		return c.has(t, id+"/stdout", long) && c.has(t, id+"/stderr", []byte("oh")) && c.has(t, before+"/stdout", []byte("four")) && f.unread(t) == 0
	})
	stop()
	var got []string
	c.sources.Range(func(key, _ any) bool {
		got = append(got, key.(string))
		return true
	})
	slices.Sort(got)
	want := []string{
		id + " attune.action=shop.deploy", "install-1 attune.pack=shop", "sensor-shop-door-1 attune.sensor=shop.door", "strange attune.action=a\uFFFDb",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLinesOfFilesSayWhoseOutputTheyAre(t *testing.T) {
	t.Parallel()
	f, dir := newFixture(t), t.TempDir()
	f.printOf(t, "a", logs.Source{Header: streams.HeaderAction, Name: "shop.deploy"}, []byte("one\n"), nil)
	f.printOf(t, "b", logs.Source{Header: streams.HeaderSensor, Name: "shop.door"}, []byte("two\n"), nil)
	f.printOf(t, "c", logs.Source{Header: streams.HeaderPack, Name: "shop"}, []byte("three\n"), nil)
	f.start(t, "file://"+dir)
	eventually(t, "nothing waits", func() bool { return f.metric(t, "records_total") == 3 && f.unread(t) == 0 })
	data, err := os.ReadFile(filepath.Join(dir, "attune.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"log_id":"a","action":"shop.deploy","stream":"stdout",`, `{"log_id":"b","sensor":"shop.door","stream":"stdout",`, `{"log_id":"c","pack":"shop","stream":"stdout",`,
	} {
		if strings.Count(string(data), want) != 1 {
			t.Errorf("%s is not in\n%s", want, data)
		}
	}
}
