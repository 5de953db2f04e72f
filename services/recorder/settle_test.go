package recorder_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// print puts output on the bus as a runner does before it stores it.
func (f *fixture) print(t *testing.T, id, text string, last bool) {
	t.Helper()
	subject, err := streams.LogSubject(id, logs.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg(subject)
	m.Data = []byte(text)
	m.Header.Set(streams.HeaderOffset, "0")
	if last {
		m.Header.Set(streams.HeaderEnd, "true")
	}
	if _, err := f.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// settled returns when the log of an execution is settled.
func (f *fixture) settledLog(t *testing.T, id string) (e history.Execution) {
	t.Helper()
	eventually(t, "the log of "+id+" is settled", func() bool {
		var err error
		e, err = f.history.Execution(t.Context(), id)
		return err == nil && e.LogSettledAt != nil
	})
	return e
}

func TestLogsThatRunnersCouldNotCompleteAreCompleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const cut = "[attune: the log may end too early: its runner was lost before all of it was stored]\n"
	cases := map[string]struct {
		text, want string
		last       bool
		to         streams.Status
	}{
		"lost in the middle":       {text: "so far\n", want: "so far\n" + cut, to: streams.Lost},
		"all of it was on the bus": {text: "all\n", want: "all\n", last: true, to: streams.Lost},
		"nothing was printed":      {to: streams.Lost},
		"no word of its output":    {text: "gone", want: "gone\n" + cut, to: streams.Failed},
	}
	ids := map[string]string{}
	for name, c := range cases {
		ids[name] = f.request(t, streams.Running, c.to)
		if c.text != "" {
			f.print(t, ids[name], c.text, c.last)
		}
	}
	f.start(t)
	store, err := logs.Open(t.Context(), logs.Config{Bus: f.Bus})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		e := f.settledLog(t, ids[name])
		if want := len(c.want) > len(c.text); e.Output.Incomplete != want || e.Output.LogBytes != int64(len(c.want)) || (e.Output.StoredBytes > 0) != (c.want != "") {
			t.Errorf("%s: %+v", name, e.Output)
		}
		m, err := store.Manifest(t.Context(), ids[name])
		if got := string(m.Streams[logs.Stdout].Inline); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: stored %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// A log that cannot be completed is in nobody's way, and is completed once it can be.
func TestALogThatIsNotReadableYetHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := f.request(t, streams.Running, streams.Lost)
	objects, err := f.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := objects.PutString(t.Context(), bad+"/manifest.json", "not a manifest"); err != nil {
		t.Fatal(err)
	}
	good := f.request(t, streams.Running, streams.Lost)
	f.start(t)
	f.settledLog(t, good)
	if e, err := f.history.Execution(t.Context(), bad); err != nil || e.LogSettledAt != nil {
		t.Errorf("%+v, %v", e.LogSettledAt, err)
	}
	if err := objects.Delete(t.Context(), bad+"/manifest.json"); err != nil {
		t.Fatal(err)
	}
	f.settledLog(t, bad)
}
