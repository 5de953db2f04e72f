package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests by route: never by path, which clients choose.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	open     prometheus.Gauge

	unaudited prometheus.Counter
	streams   prometheus.Gauge
}

func newMetrics(r *prometheus.Registry) *metrics {
	f := promauto.With(r)
	return &metrics{
		registry: r,
		unaudited: f.NewCounter(prometheus.CounterOpts{
			Name: "attune_audit_lost_total", Help: "Entries that could not be written to the audit, and are in the log instead.",
		}),
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "attune_http_requests_total", Help: "Requests that were answered.",
		}, []string{"route", "method", "status"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "attune_http_request_seconds", Help: "Time to answer a request, streams included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route"}),
		open:    f.NewGauge(prometheus.GaugeOpts{Name: "attune_http_requests_open", Help: "Requests that are being answered, streams included."}),
		streams: f.NewGauge(prometheus.GaugeOpts{Name: "attune_http_streams_open", Help: "Streams and logs that clients follow."}),
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		m.open.Inc()
		defer func() {
			m.open.Dec()
			route := chi.RouteContext(r.Context()).RoutePattern()
			m.requests.WithLabelValues(route, method(r.Method), strconv.Itoa(answer.Status())).Inc()
			m.seconds.WithLabelValues(route).Observe(time.Since(begin).Seconds())
		}()
		next.ServeHTTP(answer, r)
	})
}

// method keeps the methods that clients make up out of the labels.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
		return m
	}
	return "other"
}
