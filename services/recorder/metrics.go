package recorder

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/retention"
)

type metrics struct {
	messages *prometheus.CounterVec
	rejected *prometheus.CounterVec
	batches  *prometheus.HistogramVec

	settled   *prometheus.CounterVec
	unsettled prometheus.Gauge
	orphans   prometheus.Counter
	sweeps    *prometheus.CounterVec
	removed   *prometheus.CounterVec
	freed     prometheus.Counter
	stored    prometheus.Gauge
	last      prometheus.Gauge
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
		sweeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_retention_sweeps_total", Help: "Sweeps of logs and history, by outcome.",
		}, []string{"outcome"}),
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_retention_removed_total", Help: "What sweeps have removed.",
		}, []string{"kind"}),
		freed: prometheus.NewCounter(prometheus.CounterOpts{Name: "attune_retention_removed_bytes_total", Help: "What the removed logs took."}),
		stored: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "attune_retention_stored_bytes", Help: "What all logs took in the store after the last sweep of this recorder.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "attune_retention_last_success_timestamp_seconds", Help: "When this recorder's last sweep came to its end.",
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.messages), r.Register(m.rejected), r.Register(m.batches), r.Register(m.settled), r.Register(m.unsettled), r.Register(m.orphans),
		r.Register(m.sweeps), r.Register(m.removed), r.Register(m.freed), r.Register(m.stored), r.Register(m.last))
}

func (m *metrics) projected(stream string, messages, rejected int) {
	m.messages.WithLabelValues(stream).Add(float64(messages - rejected))
	m.rejected.WithLabelValues(stream).Add(float64(rejected))
	m.batches.WithLabelValues(stream).Observe(float64(messages))
}

// swept counts what a sweep has removed.
func (m *metrics) swept(r retention.Report, stored int64, err error) {
	outcome := "done"
	if err != nil {
		outcome = "failed"
	} else {
		m.last.SetToCurrentTime()
	}
	m.sweeps.WithLabelValues(outcome).Inc()
	m.removed.WithLabelValues("log").Add(float64(r.Removed.Logs + r.Others.Logs))
	m.removed.WithLabelValues("execution").Add(float64(r.Executions))
	m.removed.WithLabelValues("event").Add(float64(r.Events))
	m.freed.Add(float64(r.Removed.Bytes + r.Others.Bytes))
	m.stored.Set(float64(stored))
}
