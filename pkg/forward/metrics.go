package forward

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	records prometheus.Counter
	errors  prometheus.Counter
	refused prometheus.Counter
	dropped prometheus.Counter
	lag     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		records: counter("attune_log_forward_records_total", "Lines of output that the sink has, repetitions included."),
		errors:  counter("attune_log_forward_errors_total", "Attempts to hand on lines, or to read them, that failed and are repeated."),
		refused: counter("attune_log_forward_refused_total", "Lines that the sink will never take, and messages that are no output."),
		dropped: counter("attune_log_forward_dropped_total", "Messages of LOGS that were gone before they were handed on."),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "attune_log_forward_lag", Help: "Messages of LOGS that the sink does not have yet, as of the last look.",
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.records), r.Register(m.errors), r.Register(m.refused), r.Register(m.dropped), r.Register(m.lag))
}
