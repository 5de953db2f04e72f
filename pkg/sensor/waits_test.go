package sensor

import (
	"testing"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// A host that did not look although only time has to pass would never take a sensor whose pause is over.
func TestAHostWaitsForTimeAsLongAsThereIsSomethingItMayTakeOrRemove(t *testing.T) {
	t.Parallel()
	disk := pack.Ref{Pack: "linux", Name: "disk"}
	of := func(owner string) entry { return entry{state: streams.SensorState{Owner: owner}, revision: 1} }
	for name, c := range map[string]struct {
		entries map[pack.Ref]entry
		exists  bool
		tended  bool
		unread  int
		want    bool
	}{
		"no sensor":                               {},
		"one that nobody has":                     {exists: true, want: true},
		"one that nobody is known to have yet":    {exists: true, unread: 1},
		"one that this host has":                  {exists: true, entries: map[pack.Ref]entry{disk: of("here")}, tended: true},
		"one that this host had":                  {exists: true, entries: map[pack.Ref]entry{disk: of("here")}, want: true},
		"one of a host that lives":                {exists: true, entries: map[pack.Ref]entry{disk: of("there")}},
		"one of a host that has gone":             {exists: true, entries: map[pack.Ref]entry{disk: of("gone")}, want: true},
		"what is left of one that is gone":        {entries: map[pack.Ref]entry{disk: of("gone")}, want: true},
		"what is left of one, still another's":    {entries: map[pack.Ref]entry{disk: of("there")}},
		"what is left of one that ends here":      {entries: map[pack.Ref]entry{disk: of("here")}, tended: true},
		"what is left of one, and was taken away": {entries: map[pack.Ref]entry{disk: {}}},
	} {
		s := &supervisor{
			Host: &Host{Config: Config{ID: "here"}}, hosts: map[string]bool{"here": true, "there": true}, entries: c.entries, unread: c.unread,
			snap: &definitions.Snapshot{Sensors: map[pack.Ref]definitions.Sensor{}}, wants: map[pack.Ref]*want{}, tended: map[pack.Ref]*tender{},
		}
		if c.exists {
			s.snap.Sensors[disk], s.wants[disk] = definitions.Sensor{}, &want{}
		}
		if c.tended {
			s.tended[disk] = &tender{}
		}
		if got := s.waits(); got != c.want {
			t.Errorf("%s: waits: %v, want %v", name, got, c.want)
		}
	}
}
