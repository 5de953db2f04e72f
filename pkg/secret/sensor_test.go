package secret_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/streams"
)

// installSensor stores a pack with a sensor and gives its digest.
func (w *world) installSensor(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{
		"pack.yaml": packYAML, "triggers/note.yaml": "description: For tests.\n", "sensors/watch.sh": "#!/bin/sh\n",
		"sensors/watch.yaml": "runtime: shell\nentry_point: watch.sh\ntriggers: [note]\nsecrets: [TOKEN, MISSING]\noptional_secrets: [ABSENT]\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	digest, archive, err := pack.Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.bus.PutObject(t.Context(), streams.ObjectsPacks, jetstream.ObjectMeta{Name: digest}, archive); err != nil {
		t.Fatal(err)
	}
	return digest
}

func (w *world) own(t *testing.T, st streams.SensorState) {
	t.Helper()
	kv, err := w.bus.JS.KeyValue(t.Context(), streams.BucketSensors)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "demo.watch", data); err != nil {
		t.Fatal(err)
	}
}

func TestTheHostOfASensorGetsWhatTheSensorDeclares(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	digest := w.installSensor(t)
	traffic := w.spy(t)
	w.own(t, streams.SensorState{Version: streams.Version, Sensor: "demo.watch", PackDigest: digest, Owner: "h1", Status: streams.SensorStarting, XKey: w.client.PublicKey()})
	got, err := w.client.FetchForSensor(t.Context(), "demo.watch", secret.Wanted{Declared: []string{"TOKEN"}, Optional: []string{"ABSENT"}})
	if err != nil || len(got.Declared) != 1 || got.Declared["TOKEN"] != canary {
		t.Errorf("fetch: %v, %v", got, err)
	}
	if seen := traffic(); seen == "" || strings.Contains(seen, canary) {
		t.Errorf("the bus carried %q", seen)
	}
}

func TestNobodyElseGetsSecretsOfASensor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	digest, other := w.installSensor(t), w.newRunner(t, "r2")
	st := streams.SensorState{Version: streams.Version, Sensor: "demo.watch", PackDigest: digest, Owner: "h1", Status: streams.SensorRunning, XKey: other.PublicKey()}
	for _, tt := range []struct {
		name            string
		change          func(*streams.SensorState)
		sensor          string
		names, optional []string
		want            error
		says            string
	}{
		{"another host", func(*streams.SensorState) {}, "demo.watch", []string{"TOKEN"}, nil, secret.ErrRefused, "not sealed"},
		{"a name not declared", func(*streams.SensorState) {}, "demo.watch", []string{"UNDECLARED"}, nil, secret.ErrRefused, "UNDECLARED"},
		{"an optional name not declared", func(*streams.SensorState) {}, "demo.watch", nil, []string{"UNDECLARED"}, secret.ErrRefused, "UNDECLARED"},
		{"never set", func(*streams.SensorState) {}, "demo.watch", []string{"TOKEN", "MISSING"}, nil, secret.ErrRefused, "MISSING"},
		{"no sensor's name", func(*streams.SensorState) {}, "demo.*", []string{"TOKEN"}, nil, secret.ErrRefused, ""},
		{"no host", func(s *streams.SensorState) { s.Owner = "" }, "demo.watch", []string{"TOKEN"}, nil, secret.ErrUnavailable, ""},
		{"idle", func(s *streams.SensorState) { s.Status = streams.SensorIdle }, "demo.watch", []string{"TOKEN"}, nil, secret.ErrUnavailable, ""},
		{"no pack", func(s *streams.SensorState) { s.PackDigest = "x" }, "demo.watch", []string{"TOKEN"}, nil, secret.ErrUnavailable, ""},
		{"not known", func(*streams.SensorState) {}, "demo.other", []string{"TOKEN"}, nil, secret.ErrUnavailable, ""},
	} {
		one := st
		tt.change(&one)
		w.own(t, one)
		got, err := w.client.FetchForSensor(t.Context(), tt.sensor, secret.Wanted{Declared: tt.names, Optional: tt.optional})
		if got.Declared != nil || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}
