package runner

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/sandbox"
	"github.com/attune/attune/streams"
)

// metrics counts what a runner does.
type metrics struct {
	ended   *prometheus.CounterVec
	running prometheus.Gauge
	waited  prometheus.Histogram

	isolation *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_runner_executions_total", Help: "Executions that this runner has ended, by status.",
		}, []string{"status"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "attune_runner_running", Help: "Executions under way.",
		}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "attune_runner_claim_delay_seconds", Help: "Time from request to claim.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}),
	}
	m.isolation = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "attune_runner_isolation", Help: "What actions are kept from, by feature; 1: active, 0: not.",
	}, []string{"feature"})
	if reg != nil {
		reg.MustRegister(m.ended, m.running, m.waited, m.isolation)
	}
	return m
}

// isolated tells what is active.
func (m *metrics) isolated(all []sandbox.Feature) {
	for _, f := range all {
		active := 0.0
		if f.Active {
			active = 1
		}
		m.isolation.WithLabelValues(f.Name).Set(active)
	}
}

// begin counts a claimed execution and gives the function that counts its end.
func (m *metrics) begin(requested, claimed time.Time) func(streams.Status) {
	m.waited.Observe(claimed.Sub(requested).Seconds())
	m.running.Inc()
	return func(s streams.Status) {
		m.running.Dec()
		m.ended.WithLabelValues(string(s)).Inc()
	}
}
