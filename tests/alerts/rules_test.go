package alerts

import (
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const rules = "../../packaging/prometheus/culvert.rules.yml"

// alerts reads the file as Prometheus does.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rules, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	out := make(map[string]rulefmt.Rule)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if _, twice := out[r.Alert]; twice {
				t.Errorf("%s is there twice", r.Alert)
			}
			out[r.Alert] = r
		}
	}
	return out
}

// TestRules holds every alert to the metrics that there are.
func TestRules(t *testing.T) {
	v := newVocabulary(t)
	for name, r := range alerts(t) {
		for _, what := range v.check(r.Expr) {
			t.Errorf("%s: %s", name, what)
		}
		if !slices.Contains([]string{"page", "warn", "info"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: labels %v, annotations %v", name, r.Labels, r.Annotations)
		}
	}
}

// troubles has for each alert what goes wrong, in halfway's time.
var troubles = map[string]map[string]value{
	"CulvertAway":          {"up": becomes(1, 0)},
	"CulvertHostError":     {"culvert_host_error": becomes(0, 1)},
	"CulvertNotCarriedOut": {"culvert_not_carried_out": becomes(0, 1)},
	"CulvertNotConverged":  {"culvert_converged": becomes(1, 0)},
	"CulvertFleetRefused":  {"culvert_fleet_refused": becomes(0, 1)},
	"CulvertFleetUnkept":   {"culvert_fleet_unkept": becomes(0, 1)},
	"CulvertSourceAway":    {"culvert_source_connected": becomes(1, 0), "culvert_fleet_refused": becomes(0, 1), "culvert_converged": becomes(1, 0)},
	"CulvertDrift":         {"culvert_drift_repaired_total": grows(0.01)},
	"CulvertTenantFailed":  {`culvert_tenant_state{tenant="acme",state="failed"}`: becomes(0, 1)},
	"CulvertTenantWaiting": {`culvert_tenant_waiting_devices{tenant="acme"}`: becomes(0, 2)},
	"CulvertGenerationsDiffer": {
		`hv2 culvert_fleet_info{generation="41",source="etcd://etcd1:2379/culvert"}`: always(1),
	},
	"CulvertNumbersOld": {"culvert_measure_timestamp_seconds": func(since time.Duration) float64 {
		return float64(end.Add(min(since, halfway) - lasts).Unix())
	}},
	"CulvertTenantNotMeasured":   {`culvert_tenant_measured{tenant="blue"}`: becomes(1, 0)},
	"CulvertConntrackNearlyFull": {`culvert_conntrack_entries{tenant="acme"}`: becomes(1000, 95_000)},
	"CulvertConntrackRefuses":    {`culvert_dropped_packets_total{tenant="acme",reason="conntrack_full"}`: grows(1)},
	"CulvertUnexpectedDrops":     {`culvert_dropped_packets_total{tenant="acme",reason="no_block"}`: grows(1)},
	"CulvertSpoofing":            {`culvert_dropped_packets_total{tenant="acme",reason="spoofed"}`: grows(100)},
	"CulvertPortsNearlyUsed":     {`culvert_nat_ports_used{` + claim + `,protocol="tcp"}`: becomes(500, 1000)},
	"CulvertFlowsRefused":        {`culvert_nat_refused_packets_total{tenant="acme"}`: grows(0.1)},
	"CulvertRedirectsMiss":       {`culvert_redirect_misses_total{tenant="acme"}`: grows(5)},
	"CulvertNoBackend":           {backend("vm-a", "serving"): becomes(1, 0), backend("vm-a", "draining"): becomes(0, 1)},
	"CulvertBackendSick":         {`culvert_balancer_backend_healthy{tenant="acme",balancer="dns",backend="vm-a"}`: becomes(1, 0)},
	"CulvertBackendLost":         {backend("vm-b", "draining"): becomes(1, 0), backend("vm-b", "lost"): becomes(0, 1)},
	"CulvertFlood":               {`culvert_dropped_packets_total{tenant="acme",reason="flooded"}`: grows(1000)},
}

func backend(name, state string) string {
	return `culvert_balancer_backend_state{tenant="acme",balancer="web",backend="` + name + `",state="` + state + `"}`
}

// TestFires plays each alert's trouble: the alert fires, with one series, and no other does; it did not fire before, and where nothing is
// wrong none does.
func TestFires(t *testing.T) {
	all, well := alerts(t), healthy(t)
	if untested := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return troubles[name] != nil }); len(untested) > 0 {
		t.Errorf("nothing makes these fire: %q", untested)
	}
	for name := range all {
		if n := firing(t, well, all[name]); n != 0 {
			t.Errorf("%s fires where nothing is wrong", name)
		}
	}
	for trouble, change := range troubles {
		t.Run(trouble, func(t *testing.T) {
			w := well.with(t, change)
			for name, r := range all {
				want := 0
				if name == trouble {
					want = 1
				}
				if n := firing(t, w, r); n != want {
					t.Errorf("%s fires %d times, want %d", name, n, want)
				}
			}
			r := all[trouble]
			for _, s := range w.ask(t, r.Expr, lasts) {
				for _, m := range labelUse.FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
					if s.Metric.Get(m[1]) == "" {
						t.Errorf("its text has label %s, and it has only %s", m[1], s.Metric)
					}
				}
			}
			if _, from := change["hv2 "+differs]; !from && len(w.ask(t, r.Expr, halfway-time.Minute)) > 0 {
				t.Error("fires before anything is wrong")
			}
		})
	}
}

// labelUse finds labels in an alert's text.
var labelUse = regexp.MustCompile(`\$labels\.(\w+)`)

// differs is there from the beginning: a series that comes late has no value before.
const differs = `culvert_fleet_info{generation="41",source="etcd://etcd1:2379/culvert"}`

// firing counts the series for which an alert's expression holds at the end, and held all the time before that it must.
func firing(t *testing.T, w world, r rulefmt.Rule) int {
	t.Helper()
	n := len(w.ask(t, r.Expr, lasts))
	for _, before := range []time.Duration{time.Duration(r.For) / 2, time.Duration(r.For)} {
		n = min(n, len(w.ask(t, r.Expr, lasts-before)))
	}
	return n
}
