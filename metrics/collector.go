package metrics

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
)

// Options say where metrics come from.
type Options struct {
	Status func() daemon.Status
	// Fleet returns what the host must hold; nil before the first fleet.
	Fleet func() (*topology.Host, *portmap.Lock)
	Meter measure.Reader
	// Link says how the connection to the fleet's source is; nil for a source without one.
	Link func() source.Link
}

// scrapes is how many are made at once; more are told to come back. On a large host one takes a second and a few hundred megabytes.
// How long one may take, and how long it may be read, is looked after where it is served.
const scrapes = 2

// patience is how long a scrape waits for a reading of the kernel: not as long as Prometheus waits by default for all of it, 10 s.
const patience = 8 * time.Second

// Handler answers scrapes, the process's own metrics (process_*, go_*) among them.
func Handler(o Options) http.Handler {
	registry := Registry(o)
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		// Half of the truth is better than none; what is missing shows in culvert_tenant_measured.
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapes, EnableOpenMetrics: true,
	})
}

// Registry has [Families] and nothing else.
func Registry(o Options) *prometheus.Registry {
	c := &collector{Options: o, descs: make(map[string]desc, len(families))}
	for _, f := range families {
		kind := prometheus.GaugeValue
		if f.Kind == Counter {
			kind = prometheus.CounterValue
		}
		c.descs[f.Name] = desc{prometheus.NewDesc(f.Name, f.Help, f.Labels, nil), kind}
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	return registry
}

type desc struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

// collector makes metrics anew for each scrape.
type collector struct {
	Options
	descs map[string]desc
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d.Desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := &scrape{c.descs, ch}
	status := c.Status()
	s.host(status)
	s.tenants(status)
	s.probed(status)
	if c.Link != nil {
		s.link(c.Link())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reading, err := c.Meter.Read(ctx)
	if err != nil {
		return // what the daemon says is told; the age of culvert_measure_timestamp_seconds tells the rest
	}
	host, _ := c.Fleet()
	s.reading(reading, host)
}

// scrape is one collection under way.
type scrape struct {
	descs map[string]desc
	ch    chan<- prometheus.Metric
}

// put tells one value. The name is one of [Families], which a test holds.
func (s *scrape) put(name string, value float64, labels ...string) {
	d, ok := s.descs[name]
	if !ok {
		s.ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(fmt.Errorf("no metric family %s", name)), fmt.Errorf("no metric family %s", name))
		return
	}
	m, err := prometheus.NewConstMetric(d.Desc, d.kind, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d.Desc, err)
	}
	s.ch <- m
}

// states tells for each of the words whether it is the one.
func states[S ~string](s *scrape, name string, is S, words []S, labels ...string) {
	for _, w := range words {
		s.put(name, truth(w == is), append(labels[:len(labels):len(labels)], string(w))...)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// moment is a time as Prometheus has it.
func moment(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
