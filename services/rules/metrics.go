package rules

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/streams"
)

type metrics struct {
	events   *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	duration prometheus.Histogram
}

// newMetrics registers the metrics. A nil registerer leaves them unregistered.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_events_total", Help: "Events that the rules decided or rejected.",
		}, []string{"status"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_rule_decisions_total", Help: "Decisions of rules by outcome.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "attune_event_decision_seconds", Help: "Time to decide an event, requests included.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 4, 8),
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.events), r.Register(m.outcomes), r.Register(m.duration))
}

func (m *metrics) decided(d decided, took time.Duration) {
	m.events.WithLabelValues(string(d.Status)).Inc()
	if n := d.asked - len(d.Rules); n > 0 {
		m.outcomes.WithLabelValues(string(streams.NotMatched)).Add(float64(n))
	}
	for _, r := range d.Rules {
		m.outcomes.WithLabelValues(string(r.Outcome)).Inc()
	}
	m.duration.Observe(took.Seconds())
}
