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
	starts    *prometheus.CounterVec
}

// Kinds of starts.
const (
	startWarm = "warm"
	startCold = "cold"
)

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
	m.starts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "attune_runner_starts_total", Help: "Programs that were started for executions; warm: in a process that had waited for one.",
	}, []string{"kind"})
	for _, kind := range []string{startWarm, startCold} {
		m.starts.WithLabelValues(kind)
	}
	if reg != nil {
		reg.MustRegister(m.ended, m.running, m.waited, m.isolation, m.starts)
	}
	return m
}

// spares shows how many processes wait.
func (m *metrics) spares(reg prometheus.Registerer, count func() (ready, starting int)) {
	if reg == nil {
		return
	}
	gauge := func(state string, value func() int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "attune_runner_spares", Help: "Processes that wait for executions, by state.", ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(value()) }))
	}
	gauge("ready", func() int { ready, _ := count(); return ready })
	gauge("starting", func() int { _, starting := count(); return starting })
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
