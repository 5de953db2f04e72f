package sensor

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what sensors do, by sensor.
type metrics struct {
	events   *prometheus.CounterVec
	rejected *prometheus.CounterVec
	starts   *prometheus.CounterVec
	owned    prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"sensor"})
	}
	m := &metrics{
		events:   counter("attune_sensor_events_total", "Events of sensors that were published."),
		rejected: counter("attune_sensor_rejected_total", "Lines of sensors that were no events."),
		starts:   counter("attune_sensor_starts_total", "Starts of sensors."),
		owned:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "attune_sensors_owned", Help: "Sensors that this host runs."}),
	}
	if r == nil {
		return m, nil
	}
	if err := errors.Join(r.Register(m.events), r.Register(m.rejected), r.Register(m.starts), r.Register(m.owned)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// forget drops the series of a sensor that does not exist any more.
func (m *metrics) forget(sensor string) {
	for _, v := range []*prometheus.CounterVec{m.events, m.rejected, m.starts} {
		v.DeleteLabelValues(sensor)
	}
}
