package nft

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/culvertnet/culvert/topology"
)

// guarded is hv1 with its peers.
func guarded() topology.Host {
	return topology.Host{
		Name: "hv1", Underlay: netip.MustParseAddr("192.0.2.1"), Port: 4789, Tenants: []topology.Tenant{hypervisor()},
		Underlays: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")},
	}
}

func guarded6() topology.Host {
	h := guarded()
	h.Underlay, h.Underlays = netip.MustParseAddr("2001:db8::1"), []netip.Addr{netip.MustParseAddr("2001:db8::2")}
	return h
}

// TestGuard goes from nothing to a guard, to another fleet and back, beside tables of somebody else.
func TestGuard(t *testing.T) {
	s := newStage(t)
	s.nft("add table ip culvert_not; add chain ip culvert_not c; add table inet filter; add chain inet filter input { type filter hook input priority 0; }")
	foreign := s.nft("list", "ruleset")
	for _, h := range []topology.Host{guarded(), guarded6()} {
		desired := Guard(h)
		s.become(desired)
		raw := s.nft("list", "table", desired[0].Family.String(), TableName)
		if diff := cmp.Diff(normal(raw), normal(printed(desired))); diff != "" {
			t.Errorf("the printed table is not what nft lists (-nft +ours):\n%s", diff)
		}
		everyRule(t, raw, desired)
		h.Underlays = h.Underlays[:1]
		s.become(Guard(h))
	}
	h := guarded()
	h.Tenants = nil
	s.become(Guard(h))
	if got := s.nft("list", "ruleset"); got != foreign {
		t.Errorf("what is left is not what was there before:\n%s", cmp.Diff(foreign, got))
	}
}

// TestGuardIsForTheHost has no rule that could match what passes the host.
func TestGuardIsForTheHost(t *testing.T) {
	for _, h := range []topology.Host{guarded(), guarded6()} {
		for _, r := range Guard(h)[0].Chains[0].Rules {
			if !strings.Contains(r.Text, "udp dport 4789 ") || !strings.Contains(r.Text, "fib daddr type local ") {
				t.Errorf("%s matches more than VXLAN for this host", r.Text)
			}
		}
	}
}
