// Package metrics is the home of the Prometheus client: what a process measures
// of itself and of its HTTP servers. The signature activation module uses it in
// its command only.
package metrics

import (
	"net/http"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/countersign/countersign/internal/web"
)

// Metrics is the set of one process. All methods may be called at once.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// New makes a set with the process, the Go runtime and the build in it.
func New(version, commit string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_http_requests_total", Help: "Requests answered.",
		}, []string{"server", "route", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "countersign_http_request_duration_seconds", Help: "Time from a request's headers to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"server", "route", "method"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "countersign_build_info", Help: "1, with the program's version.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "go": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.took, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts an answer; it is the Observe of a web.Config. Requests without a
// route are counted under the route "none": paths come from outside and would
// fill the memory.
func (m *Metrics) Observe(o web.Observation) {
	route := o.Route
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(o.Name, route, o.Method, strconv.Itoa(o.Status)).Inc()
	m.took.WithLabelValues(o.Name, route, o.Method).Observe(o.Duration.Seconds())
}

// Counter registers a counter and returns the function that adds one for the
// values of its labels. The labels have few values each. Registering a name twice
// panics.
func (m *Metrics) Counter(name, help string, labels ...string) func(values ...string) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return func(values ...string) { c.WithLabelValues(values...).Inc() }
}

// Histogram registers a histogram of seconds and returns the function that adds
// an observation.
func (m *Metrics) Histogram(name, help string, labels ...string) func(seconds float64, values ...string) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.DefBuckets}, labels)
	m.registry.MustRegister(h)
	return func(seconds float64, values ...string) { h.WithLabelValues(values...).Observe(seconds) }
}

// Gauge registers a value that is asked for whenever metrics are read. value is
// called from several goroutines and returns soon.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Handler serves the set to Prometheus. It belongs on an address that only the
// operator reaches.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
