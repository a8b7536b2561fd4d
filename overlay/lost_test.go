package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// hops are a route's next hops in the desired state of a tenant.
func hops(t *testing.T, tenant topology.Tenant, dst string) string {
	t.Helper()
	b := builder{tenant: tenant, mtu: 1500}
	b.outside()
	if tenant.Edge {
		b.edge()
	}
	var out []string
	for _, o := range b.objects {
		if r, ok := o.(Route); ok && r.Dst == netip.MustParsePrefix(dst) {
			for _, h := range r.Hops {
				out = append(out, h.Via.String())
			}
		}
	}
	return fmt.Sprint(out)
}

// TestLostPeers leaves lost peers out of what any can do, and nobody else's way changes.
func TestLostPeers(t *testing.T) {
	lose := func(tenant topology.Tenant, ids ...int) topology.Tenant {
		tenant.Peers = slices.Clone(tenant.Peers)
		for i := range tenant.Peers {
			for _, id := range ids {
				tenant.Peers[i].Lost = tenant.Peers[i].Lost || int(tenant.Peers[i].ID) == id
			}
		}
		return tenant
	}
	twoEdges := hypervisor()
	twoEdges.Peers = append(twoEdges.Peers, peer(5, true))
	for _, tt := range []struct {
		name   string
		tenant topology.Tenant
		dst    string
		want   string
	}{
		{"edge, all there", edge(), "45.86.152.23/32", "[100.64.0.2 100.64.0.3]"},
		{"edge, one lost", lose(edge(), 2), "45.86.152.23/32", "[100.64.0.3]"},
		{"edge, all lost", lose(edge(), 2, 3), "45.86.152.23/32", "[100.64.0.2 100.64.0.3]"},
		{"edge, virtual IP's host lost", lose(withVIPs(edge()), 3), "45.86.152.30/32", "[100.64.0.3]"},
		{"way out, all there", twoEdges, "0.0.0.0/0", "[100.64.0.4 100.64.0.5]"},
		{"way out, an edge lost", lose(twoEdges, 4), "0.0.0.0/0", "[100.64.0.5]"},
		{"way out, a hypervisor lost", lose(twoEdges, 2), "0.0.0.0/0", "[100.64.0.4 100.64.0.5]"},
	} {
		if got := hops(t, tt.tenant, tt.dst); got != tt.want {
			t.Errorf("%s: %s via %s, want %s", tt.name, tt.dst, got, tt.want)
		}
	}
}
