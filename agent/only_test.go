package agent

import (
	"strings"
	"testing"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// only plans some tenants of the fleet.
func (r *rig) only(s site, names ...string) Plan {
	r.Helper()
	return must(r.PlanOnly(must(topology.For(s.fleet, s.lock, "hv1")), names))
}

// TestPlanOnly damages two tenants of a host that is hypervisor and edge: each plan sees the damage of the tenants that it is for,
// and leaves what belongs to others in the host's namespace alone.
func TestPlanOnly(t *testing.T) {
	r := newRig(t)
	r.ip("host", "link add eth1 type veth peer name eth1-out")
	s := parse(t, strings.Replace(fleetYAML, "underlay: 192.0.2.1, roles: [hypervisor]", "underlay: 192.0.2.1, roles: [hypervisor, edge], uplink: eth1", 1))
	r.settle(s)
	for _, names := range [][]string{nil, {"acme"}, {"blue"}, {"acme", "blue"}, {"none"}} {
		if p := r.only(s, names...); !p.Empty() {
			t.Errorf("plan for %q of a settled host:\n%s", names, p)
		}
	}
	r.ip("culvert-acme", "route del 10.0.0.47/32")
	r.ip("host", "route del 45.86.152.23/32")
	r.ip("host", "route del 45.86.152.24/32")
	wants := func(p Plan, want ...string) {
		t.Helper()
		if lines := p.Lines(); len(lines) != len(want) {
			t.Errorf("%d changes, want %d:\n%s", len(lines), len(want), p)
		}
		for _, w := range want {
			if !strings.Contains(p.String(), w) {
				t.Errorf("plan lacks %q:\n%s", w, p)
			}
		}
	}
	wants(r.only(s))
	wants(r.only(s, "blue"), "+ route 45.86.152.24/32 via")
	p := r.only(s, "acme")
	wants(p, "+ culvert-acme: route 10.0.0.47/32", "+ route 45.86.152.23/32 via")
	if err := r.Apply(p); err != nil {
		t.Fatal(err)
	}
	wants(r.only(s, "acme"))
	wants(r.only(s, "acme", "blue"), "+ route 45.86.152.24/32 via")
	r.settle(s)
}

// TestPlanOnlyGone removes a tenant that the fleet no longer has, and makes another whose namespace is gone.
func TestPlanOnlyGone(t *testing.T) {
	r := newRig(t)
	full := parse(t, fleetYAML)
	r.settle(full)
	one, _, _ := strings.Cut(fleetYAML, "  - name: blue")
	s := parse(t, one)
	if p := r.only(s, "acme"); !p.Empty() {
		t.Errorf("plan for the tenant that stays:\n%s", p)
	}
	if err := r.Apply(r.only(s, "blue")); err != nil {
		t.Fatal(err)
	}
	r.settled(s)
	if there, err := netns.Exists(r.prefix + "culvert-blue"); there || err != nil {
		t.Errorf("the tenant's namespace is there: %v, %v", there, err)
	}
	r.safe()
	if err := r.Apply(r.only(full, "blue")); err != nil {
		t.Fatal(err)
	}
	r.settled(full)
	r.safe()
}
