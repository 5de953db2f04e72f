package recorder

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	messages *prometheus.CounterVec
	rejected *prometheus.CounterVec
	batches  *prometheus.HistogramVec

	settled   *prometheus.CounterVec
	unsettled prometheus.Gauge
	orphans   prometheus.Counter
}

// newMetrics registers the metrics. A nil registerer leaves them unregistered.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_recorder_messages_total", Help: "Messages projected into history.",
		}, []string{"stream"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_recorder_rejected_total", Help: "Messages that could not become history.",
		}, []string{"stream"}),
		batches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "attune_recorder_batch_messages", Help: "Messages written at once.", Buckets: []float64{1, 5, 20, 50, 100, 200, 500},
		}, []string{"stream"}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_recorder_logs_completed_total", Help: "Logs completed in place of a runner that could not, by what was found: whole, cut, failed (and tried again).",
		}, []string{"result"}),
		unsettled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "attune_recorder_logs_incomplete", Help: "Logs of ended executions that are still to be completed, as of the last look.",
		}),
		orphans: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "attune_recorder_log_orphans_removed_total", Help: "Half-stored objects of logs whose parts were removed.",
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.messages), r.Register(m.rejected), r.Register(m.batches), r.Register(m.settled), r.Register(m.unsettled), r.Register(m.orphans))
}

func (m *metrics) projected(stream string, messages, rejected int) {
	m.messages.WithLabelValues(stream).Add(float64(messages - rejected))
	m.rejected.WithLabelValues(stream).Add(float64(rejected))
	m.batches.WithLabelValues(stream).Observe(float64(messages))
}
