package scheduler

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/pack"
)

// scrapeTimeout bounds how long a scrape waits for the loop.
const scrapeTimeout = time.Second

// metrics is what a scheduler counts. How the queues stand is asked from the loop at each scrape.
type metrics struct {
	admissions prometheus.Counter
	lost       prometheus.Counter
	retries    prometheus.Counter
	dismissed  *prometheus.CounterVec
	waits      prometheus.Histogram
	estimates  prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, l *leadership) (*metrics, error) {
	m := &metrics{
		admissions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "attune_scheduler_admissions_total", Help: "Executions that were admitted to run.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "attune_scheduler_lost_total", Help: "Executions that ended because their runner was lost.",
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "attune_scheduler_retries_total", Help: "Attempts that are to be followed by another.",
		}),
		dismissed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_scheduler_dismissed_total", Help: "Executions that ended without having started, by class: queue_full, queue_draining, queue_timeout.",
		}, []string{"class"}),
		estimates: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "attune_queue_estimate_error_ratio",
			Help:    "How far the wait that was estimated when an execution was queued was off, as a part of the wait; waits below 50 ms are left out.",
			Buckets: []float64{.01, .025, .05, .1, .15, .2, .25, .35, .5, .75, 1, 2, 5},
		}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "attune_queue_wait_seconds", Help: "Time from the request of an execution to its admission.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 24 * 3600},
		}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.admissions, m.lost, m.retries, m.dismissed, m.waits, m.estimates, &queueCollector{leading: l}} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) admitted(a admission.Admission) {
	m.admissions.Inc()
	m.waits.Observe(a.Waited.Seconds())
	if off := admission.EstimateError(a.Foretold, a.Waited); !math.IsNaN(off) {
		m.estimates.Observe(off)
	}
}

var (
	leaderDesc  = prometheus.NewDesc("attune_scheduler_leader", "1 on the copy that leads.", nil, nil)
	waitingDesc = prometheus.NewDesc("attune_queue_waiting", "Executions that wait for a slot.", []string{"action"}, nil)
	runningDesc = prometheus.NewDesc("attune_queue_running", "Executions that hold a slot.", []string{"action"}, nil)
	oldestDesc  = prometheus.NewDesc("attune_queue_oldest_wait_seconds", "How long the first in line has waited.", []string{"action"}, nil)
)

// queueCollector reports the queues that have work. Keys are added up: there may be very many.
type queueCollector struct{ leading *leadership }

// Describe lists the metrics.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{leaderDesc, waitingDesc, runningDesc, oldestDesc} {
		ch <- d
	}
}

// Collect asks the leading term of this process, if there is one.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	t := c.leading.current.Load()
	if t == nil {
		ch <- prometheus.MustNewConstMetric(leaderDesc, prometheus.GaugeValue, 0)
		return
	}
	ch <- prometheus.MustNewConstMetric(leaderDesc, prometheus.GaugeValue, 1)
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var loads map[pack.Ref]admission.Load
	if t.do(ctx, func() { loads = t.state.Loads(time.Now()) }) != nil {
		return // the term is ending
	}
	for ref, l := range loads {
		ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(l.Waiting), ref.String())
		ch <- prometheus.MustNewConstMetric(runningDesc, prometheus.GaugeValue, float64(l.Running), ref.String())
		ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, l.Oldest.Seconds(), ref.String())
	}
}
