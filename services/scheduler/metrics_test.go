package scheduler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/streams"
)

func TestMetricsTellHowTheQueuesStand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	registry := prometheus.NewRegistry()
	s := w.schedule("s1", func(s *Scheduler) {
		m, err := newMetrics(registry, &s.leading)
		if err != nil {
			t.Fatal(err)
		}
		s.metrics = m
	})
	w.run("r1", 8, g.wait)
	ids := w.requestMany(5, "core.echo", 2)
	w.awaitStatus(ids[1], streams.Running)
	w.awaitLeader(s)
	w.notYet(ids[4])
	got := gather(t, registry)
	delete(got, "attune_queue_oldest_wait_seconds core.echo")
	want := map[string]float64{
		"attune_queue_running core.echo": 2, "attune_queue_waiting core.echo": 3, "attune_queue_wait_seconds": 2,
		"attune_scheduler_admissions_total": 2, "attune_scheduler_leader": 1, "attune_scheduler_lost_total": 0,
		"attune_scheduler_retries_total": 0, "attune_queue_estimate_error_ratio": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if _, err := New(Config{Bus: w.bus, Registerer: registry}); err == nil {
		t.Error("registered twice")
	}
}

// gather gives the value of each metric by name and label, of a histogram its count.
func gather(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}
