package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/culvertnet/culvert/config"
)

// TestLostHost changes nothing for a host but that it is told who is lost: where VMs are and who owns which port stays.
func TestLostHost(t *testing.T) {
	fleet := parse(t)
	lock := allocate(t, nil, fleet)
	lost := *fleet
	lost.Hosts = slices.Clone(fleet.Hosts)
	for i := range lost.Hosts {
		if n := lost.Hosts[i].Name; n == "hv2" || n == "edge4" {
			lost.Hosts[i].State = config.Lost
		}
	}
	for _, h := range fleet.Hosts {
		before, after := compute(t, fleet, lock, h.Name), compute(t, &lost, lock, h.Name)
		if diff := cmp.Diff(before, after, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.IgnoreFields(Peer{}, "Lost"), cmpopts.IgnoreFields(Backend{}, "Lost")); diff != "" {
			t.Errorf("%s (-before +after):\n%s", h.Name, diff)
		}
		for _, tenant := range after.Tenants {
			for _, p := range append(tenant.Peers, tenant.Self) {
				if want := (p.Host == "hv2" || p.Host == "edge4") && p.Host != h.Name; p.Lost != want {
					t.Errorf("for %s %s is lost: %t", h.Name, p.Host, p.Lost)
				}
			}
		}
	}
}

func TestPresent(t *testing.T) {
	peer := func(name string, lost bool) Peer { return Peer{Host: name, Lost: lost} }
	for _, tt := range []struct {
		peers []Peer
		want  string
	}{
		{nil, "[]"},
		{[]Peer{peer("a", false), peer("b", true), peer("c", false)}, "[a c]"},
		{[]Peer{peer("a", true), peer("b", true)}, "[a b]"},
	} {
		var got []string
		for _, p := range Present(tt.peers) {
			got = append(got, p.Host)
		}
		if s := fmt.Sprint(got); s != tt.want {
			t.Errorf("present %s, want %s", s, tt.want)
		}
	}
}
