package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

// service gives how one of the services stands.
func (f *fixture) service(name string) wire.Service {
	f.t.Helper()
	for _, s := range want[wire.Page[wire.Service]](f.get("/api/v1/services"), http.StatusOK).Items {
		if s.Name == name {
			return s
		}
	}
	f.t.Fatalf("there is no service %s", name)
	return wire.Service{}
}

// waiting gives how many messages of a stream wait for a service, and checks that the first of them has a time.
func (f *fixture) waiting(name, stream string) uint64 {
	f.t.Helper()
	for _, b := range f.service(name).Backlogs {
		if b.Stream != stream {
			continue
		}
		if (b.Messages > 0) != (b.Oldest != nil) || b.Oldest != nil && time.Since(*b.Oldest) > patience {
			f.t.Errorf("%s of %s: %+v", stream, name, b)
		}
		return b.Messages
	}
	f.t.Fatalf("%s has no backlog of %s", name, stream)
	return 0
}

func TestWhoWorksAndWhatWaitsIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, name := range []string{"recorder", "rules", "scheduler", "sensors"} {
		if s := f.service(name); s.State != wire.ServiceAbsent {
			t.Errorf("nobody started %s: %+v", name, s)
		}
	}
	if n := f.waiting("rules", streams.Events); n != 0 {
		t.Errorf("of no events %d wait", n)
	}
	f.publish(`{"trigger":"demo.note","payload":{"host":"web1"}}`)
	f.publish(`{"trigger":"demo.note","payload":{"host":"web2"}}`)
	if rules, recorder := f.waiting("rules", streams.Events), f.waiting("recorder", streams.Events); rules != 2 || recorder != 2 {
		t.Errorf("of two events %d wait for rules, %d for the recorder", rules, recorder)
	}
	f.withRules()
	f.eventually("the rules have decided", func() bool { return f.waiting("rules", streams.Events) == 0 })
	f.eventually("the rules work", func() bool { return f.service("rules").State == wire.ServiceActive })
	if n := f.waiting("recorder", streams.Decisions); n == 0 {
		t.Error("no decision waits for the recorder")
	}
	f.withRecorder()
	f.eventually("all is recorded", func() bool {
		return f.waiting("recorder", streams.Events)+f.waiting("recorder", streams.Decisions)+f.waiting("recorder", streams.Executions) == 0
	})
	f.withScheduler()
	for _, name := range []string{"recorder", "scheduler"} {
		f.eventually(name+" works", func() bool { return f.service(name).State == wire.ServiceActive })
	}
	page := string(f.get("/metrics").body)
	for _, line := range []string{
		`attune_service_active{service="rules"} 1`, `attune_service_active{service="sensors"} 0`,
		`attune_service_backlog_messages{service="recorder",stream="EVENTS"} 0`, `attune_service_backlog_seconds{service="rules",stream="EVENTS"} 0`,
	} {
		if !strings.Contains(page, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

func TestASchedulerThatDoesNotAnswerIsStarting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := json.Marshal(streams.Lease{Version: streams.Version, Owner: "me"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "scheduler", lease); err != nil {
		t.Fatal(err)
	}
	if s := f.service("scheduler"); s.State != wire.ServiceStarting {
		t.Errorf("got %+v", s)
	}
}
