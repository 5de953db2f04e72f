package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/services/api"
	"github.com/attune/attune/streams"
)

// put writes an entry of a bucket, as a runner does.
func (f *fixture) put(bucket, key string, v any) {
	f.t.Helper()
	kv, err := f.bus.JS.KeyValue(f.t.Context(), bucket)
	if err != nil {
		f.t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err == nil {
		_, err = kv.Put(f.t.Context(), key, data)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// lives has a runner show itself, for as long as an entry does.
func (f *fixture) lives(name string) {
	f.t.Helper()
	f.put(streams.BucketRunners, name, streams.RunnerInfo{Version: 1, Name: name, Pool: "default", Installs: true, StartedAt: time.Now(), Seen: time.Now()})
}

// reports says how far the runner web1 is with a version.
func (f *fixture) reports(p wire.PackInstalled, status streams.InstallStatus) {
	f.t.Helper()
	now := time.Now()
	const name = "web1"
	e := streams.Environment{
		Version: 1, Pack: p.Name, PackVersion: p.Version, Digest: p.Digest, Generation: p.Generation, Runner: name, Pool: "default",
		Status: status, StartedAt: now.Add(-time.Second), Log: streams.InstallLog(p.Digest, name, p.Generation),
	}
	switch status {
	case streams.Installed:
		e.InstalledAt = &now
	case streams.InstallError:
		e.Error, e.Tail = "pip ended with status 1", []string{"no such wheel"}
	case streams.Installing, streams.NotInstalled:
		e.Step = "pip install"
	}
	f.put(streams.BucketEnvironments, streams.EnvironmentKey(p.Digest, name), e)
}

func (f *fixture) statusOfHello() wire.PackStatus {
	f.t.Helper()
	return want[wire.PackStatus](f.get("/api/v1/packs/hello/status"), http.StatusOK)
}

func TestAnInstallIsAnsweredByHowFarItIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.InstallEvery = 200 * time.Millisecond })
	one := want[wire.PackInstalled](f.install(hello("1.0.0").archive(t)), http.StatusOK)
	if one.State != wire.PackActive || one.Generation != 1 {
		t.Errorf("%+v", one)
	}
	f.lives("web1")
	two := want[wire.PackInstalled](f.install(hello("2.0.0").archive(t), "wait=0s"), http.StatusAccepted)
	if two.State != wire.PackBuilding || two.Was != "1.0.0" || strings.Join(two.Actions, " ") != "greet" {
		t.Errorf("%+v", two)
	}
	f.eventually("web1 is asked", func() bool { return len(f.statusOfHello().Runners) == 2 })
	s := f.statusOfHello()
	if r := s.Runners[0]; s.State != wire.PackBuilding || s.Version != "1.0.0" || r.PackVersion != "2.0.0" || r.Status != streams.NotInstalled || !r.Installs {
		t.Errorf("%+v", s)
	}
	if p := want[wire.Pack](f.get("/api/v1/packs/hello"), http.StatusOK); p.Version != "1.0.0" || p.State != wire.PackBuilding || p.Coming != "2.0.0" {
		t.Errorf("%+v", p)
	}
	f.reports(two, streams.InstallError)
	f.eventually("it has failed", func() bool { return f.statusOfHello().State == wire.PackFailed })
	f.lives("web1")
	answered := make(chan answer, 1)
	go func() { answered <- f.install(hello("2.0.0").archive(t)) }()
	f.eventually("it is tried again", func() bool { return f.statusOfHello().Versions[0].Generation == 2 })
	two.Generation = 2
	f.reports(two, streams.InstallError)
	p := (<-answered).refused(http.StatusUnprocessableEntity, wire.CodeInstallFailed)
	if p.Install == nil || p.Install.Runner != "web1" || len(p.Install.Tail) != 1 || !strings.Contains(p.Detail, "pip ended") {
		t.Errorf("%+v", p)
	}
	if s := f.statusOfHello(); s.Version != "1.0.0" || s.Versions[0].Error == "" || s.Versions[0].Generation != 2 {
		t.Errorf("%+v", s)
	}
}

func TestAVersionIsPutInServiceAndTakenBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want[wire.PackInstalled](f.install(hello("1.0.0").archive(t)), http.StatusOK)
	two := want[wire.PackInstalled](f.install(hello("2.0.0").archive(t), "switch=never"), http.StatusAccepted)
	if two.State != wire.PackReady || f.statusOfHello().Version != "1.0.0" {
		t.Errorf("%+v", two)
	}
	if v := want[wire.PackVersion](f.post("/api/v1/packs/hello/switch", nil), http.StatusOK); v.State != wire.PackActive || v.Version != "2.0.0" {
		t.Errorf("%+v", v)
	}
	f.post("/api/v1/packs/hello/switch", nil).refused(http.StatusConflict, wire.CodeConflict)
	if v := want[wire.PackVersion](f.post("/api/v1/packs/hello/rollback", nil), http.StatusOK); v.State != wire.PackActive || v.Version != "1.0.0" {
		t.Errorf("%+v", v)
	}
	if s := f.statusOfHello(); s.Version != "1.0.0" || !s.Versions[1].Previous {
		t.Errorf("%+v", s)
	}
	want[wire.PackVersion](f.post("/api/v1/packs/hello/rollback", `{"version":"2.0.0"}`), http.StatusOK)
	f.post("/api/v1/packs/hello/rollback", `{"version":"9.9.9"}`).refused(http.StatusConflict, wire.CodeConflict)
	f.post("/api/v1/packs/nothing/rollback", nil).refused(http.StatusNotFound, wire.CodeNotFound)
	f.install(hello("3.0.0").archive(t), "wait=1h").refused(http.StatusBadRequest, wire.CodeInvalidRequest, "wait")
}

func TestTheLogOfAnInstallationIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lives("web1")
	p := want[wire.PackInstalled](f.install(hello("1.0.0").archive(t), "wait=0s"), http.StatusAccepted)
	f.eventually("web1 is asked", func() bool { return len(f.statusOfHello().Runners) == 1 })
	f.get("/api/v1/packs/hello/log").refused(http.StatusNotFound, wire.CodeNotFound)
	store, err := logs.Open(t.Context(), logs.Config{Bus: f.bus, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	out, err := store.NewWriter(streams.InstallLog(p.Digest, "web1", 1), logs.Source{}, logs.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	f.reports(p, streams.Installing)
	followed := make(chan answer, 1)
	go func() { followed <- f.get("/api/v1/packs/hello/log?follow=true") }()
	for _, line := range []string{"fetch\n", "build\n"} {
		if _, err := out.Stdout().Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := out.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.reports(p, streams.Installed)
	if a := <-followed; a.status != http.StatusOK || string(a.body) != "fetch\nbuild\n" || a.header.Get(wire.HeaderOffset) != "0" {
		t.Errorf("%d %q", a.status, a.body)
	}
	if a := f.get("/api/v1/packs/hello/log?offset=6&runner=web"); string(a.body) != "build\n" || a.header.Get(wire.HeaderOffset) != "6" {
		t.Errorf("%d %q", a.status, a.body)
	}
	for query, want := range map[string]string{"?tail=1": "build\n", "?grep=^f": "fetch\n", "?since=1h": "fetch\nbuild\n", "?since=2100-01-01T00:00:00Z": ""} {
		if a := f.get("/api/v1/packs/hello/log" + query); a.status != http.StatusOK || string(a.body) != want {
			t.Errorf("%s: %d %q, want %q", query, a.status, a.body, want)
		}
	}
	if a := f.ranged("/api/v1/packs/hello/log", "bytes=-6"); a.status != http.StatusPartialContent || string(a.body) != "build\n" {
		t.Errorf("%d %q", a.status, a.body)
	}
	f.get("/api/v1/packs/hello/log?runner=other").refused(http.StatusNotFound, wire.CodeNotFound)
	f.get("/api/v1/packs/hello/log?version=9").refused(http.StatusNotFound, wire.CodeNotFound)
}

func TestTheConfigurationFitsThePacksSchema(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const yaml = "name: hello\nversion: 1.0.0\nconfig:\n  type: object\n  properties:\n    level: {type: integer}\n  additionalProperties: false\n"
	want[wire.PackInstalled](f.install(hello("1.0.0").with("pack.yaml", yaml).archive(t)), http.StatusOK)
	set := func(body string) answer { return f.call(http.MethodPut, "/api/v1/packs/hello/config", body) }
	if c := want[wire.PackConfig](set(`{"config":{"level":3}}`), http.StatusOK); string(c.Config) != `{"level":3}` || len(c.Schema) == 0 {
		t.Errorf("%+v", c)
	}
	set(`{"config":{"level":"x"}}`).refused(http.StatusBadRequest, wire.CodeInvalidConfig, "config.level")
	set(`{"config":[]}`).refused(http.StatusBadRequest, wire.CodeInvalidConfig, "config")
	f.call(http.MethodPut, "/api/v1/packs/nothing/config", `{"config":{}}`).refused(http.StatusNotFound, wire.CodeNotFound)
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketConfigs)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := kv.Get(t.Context(), "hello"); err != nil || string(e.Value()) != `{"level":3}` {
		t.Errorf("%v, %v", e, err)
	}
}
