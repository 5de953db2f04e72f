package installer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of the copy that leads.
type metrics struct {
	installs *prometheus.CounterVec
	building prometheus.Gauge
	removed  prometheus.Counter
}

// Results of an install.
const (
	resultActive = "active"
	resultFailed = "failed"
)

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		installs: f.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_pack_installs_total", Help: "Versions of packs that went in service or failed.",
		}, []string{"result"}),
		building: f.NewGauge(prometheus.GaugeOpts{Name: "attune_pack_installs_building", Help: "Versions of packs that are on their way."}),
		removed:  f.NewCounter(prometheus.CounterOpts{Name: "attune_pack_versions_removed_total", Help: "Versions of packs that were removed after their last use."}),
	}
	for _, result := range []string{resultActive, resultFailed} {
		m.installs.WithLabelValues(result)
	}
	return m
}
