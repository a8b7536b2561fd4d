package alerts

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// The world lasts two hours and is scraped every 15 seconds; what goes wrong does so halfway. It ends at the same time as the scrape that
// it is made of.
const (
	lasts    = 2 * time.Hour
	scraped  = 15 * time.Second
	halfway  = time.Hour
	jobLabel = "culvert"
)

var end = time.Unix(1_800_000_060, 0)

// value is a series' value some time after the beginning.
type value func(since time.Duration) float64

func always(v float64) value { return func(time.Duration) float64 { return v } }

// grows is a counter that stands still at first and then grows by so much a second.
func grows(each float64) value {
	return func(since time.Duration) float64 { return each * max(since-halfway, 0).Seconds() }
}

// becomes is a gauge that changes halfway.
func becomes(before, after float64) value {
	return func(since time.Duration) float64 {
		if since < halfway {
			return before
		}
		return after
	}
}

// world is series by what they are called, as in "culvert_ready{instance=...}".
type world map[string]value

// series is what a metric's labels are made of, with the scrape's own.
func series(t *testing.T, text string, instance string) string {
	t.Helper()
	m, err := parser.NewParser(parser.Options{}).ParseMetric(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	b := labels.NewBuilder(m)
	b.Set("job", jobLabel)
	b.Set("instance", instance)
	return b.Labels().String()
}

// healthy is a world in which nothing is wrong: the series of a real scrape with other values where it has trouble.
func healthy(t *testing.T) world {
	t.Helper()
	w := world{series(t, "up", "hv1"): always(1)}
	for line := range strings.Lines(read(t, "metrics/testdata/scrape.txt")) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		w[series(t, line[:i], "hv1")] = always(v)
	}
	for text, v := range map[string]float64{
		"culvert_converged":                                                             1,
		`culvert_tenant_measured{tenant="blue"}`:                                        1,
		`culvert_tenant_state{tenant="acme",state="failed"}`:                            0,
		`culvert_tenant_waiting_devices{tenant="acme"}`:                                 0,
		`culvert_nat_ports_used{` + claim + `,protocol="tcp"}`:                          500,
		`culvert_balancer_backend_healthy{tenant="acme",balancer="dns",backend="vm-a"}`: 1,
		`culvert_nat_ports_used{` + claim + `,protocol="sctp"}`:                         1,
		`culvert_dropped_packets_total{tenant="acme",reason="no_block"}`:                0,
		`culvert_dropped_packets_total{tenant="acme",reason="conntrack_full"}`:          0,
		`culvert_dropped_packets_total{tenant="acme",reason="flooded"}`:                 0,
	} {
		w[series(t, text, "hv1")] = always(v)
	}
	// The same fleet, although it counts nobody as lost.
	w[series(t, `culvert_fleet_info{generation="42",source="etcd://etcd1:2379/culvert"}`, "hv3")] = always(1)
	// Read at each scrape.
	w[series(t, "culvert_measure_timestamp_seconds", "hv1")] = func(since time.Duration) float64 {
		return float64(end.Add(since - lasts).Unix())
	}
	return w
}

// claim are the labels of the scrape's claimant.
const claim = `tenant="acme",address="45.86.152.23",claimant="host hv1"`

// with is the world with some series changed, or added; those that begin with "hv2 " are another host's.
func (w world) with(t *testing.T, change map[string]value) world {
	t.Helper()
	out := make(world, len(w)+len(change))
	for s, v := range w {
		out[s] = v
	}
	for text, v := range change {
		instance := "hv1"
		if other, ok := strings.CutPrefix(text, "hv2 "); ok {
			instance, text = "hv2", other
		}
		out[series(t, text, instance)] = v
	}
	return out
}

// ask evaluates an expression some time after the beginning.
func (w world) ask(t *testing.T, expression string, since time.Duration) promql.Vector {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{})})
	query, err := engine.NewInstantQuery(t.Context(), w, nil, expression, end.Add(since-lasts))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	defer query.Close()
	vector, err := query.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	// The engine reuses what it returns.
	return append(promql.Vector{}, vector...)
}

// Querier implements [storage.Queryable].
func (w world) Querier(_, _ int64) (storage.Querier, error) { return w, nil }

// Select implements [storage.Querier].
func (w world) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	p := parser.NewParser(parser.Options{})
next:
	for text, v := range w {
		set, err := p.ParseMetric(text)
		if err != nil {
			return storage.ErrSeriesSet(err)
		}
		for _, m := range matchers {
			if !m.Matches(set.Get(m.Name)) {
				continue next
			}
		}
		var samples []chunks.Sample
		for since := time.Duration(0); since <= lasts; since += scraped {
			samples = append(samples, sample{end.Add(since - lasts).UnixMilli(), v(since)})
		}
		found = append(found, storage.NewListSeries(set, samples))
	}
	return &set{found: found}
}

// LabelValues implements [storage.LabelQuerier]; nobody asks.
func (w world) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements [storage.LabelQuerier]; nobody asks.
func (w world) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements [storage.LabelQuerier].
func (w world) Close() error { return nil }

// set is a [storage.SeriesSet].
type set struct {
	found []storage.Series
	at    int
}

func (s *set) Next() bool                        { s.at++; return s.at <= len(s.found) }
func (s *set) At() storage.Series                { return s.found[s.at-1] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// sample is a [chunks.Sample].
type sample struct {
	t int64
	f float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.f }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
