package ipvs

import (
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// tenant is one with listeners of all protocols and both families, on a node with a peer that is one too.
func tenant() topology.Tenant {
	backends := func(overlay string, first uint32) []topology.Backend {
		address := netip.MustParseAddr(overlay)
		var out []topology.Backend
		for i, weight := range []int{1, 2, 1} {
			out = append(out, topology.Backend{Sequence: first + uint32(i), Address: address, Weight: weight})
			address = address.Next()
		}
		return out
	}
	self, peer := topology.Peer{ID: 1, Balancer: true}, topology.Peer{ID: 2, Balancer: true}
	return topology.Tenant{
		Name: "acme", VNI: 100, Balancer: true, Self: self, Peers: []topology.Peer{peer},
		Balancers: []topology.Balancer{
			{
				Name: "web", Address: netip.MustParseAddr("45.86.152.23"), Backends: backends("100.96.0.1", 1),
				Listeners: []config.Listener{{Protocol: config.TCP, Port: 443, BackendPort: 8443}, {Protocol: config.TCP, Port: 80, BackendPort: 80}},
			},
			{
				Name: "dns", Address: netip.MustParseAddr("2001:db8::53"), Backends: backends("fd00:c0de::8000:0:0:4", 4),
				Listeners: []config.Listener{{Protocol: config.UDP, Port: 53, BackendPort: 53}, {Protocol: config.SCTP, Port: 53, BackendPort: 53}},
			},
		},
	}
}

// with returns the tenant with its first balancer's backends edited.
func with(edit func([]topology.Backend) []topology.Backend) topology.Tenant {
	t := tenant()
	t.Balancers[0].Backends = edit(t.Balancers[0].Backends)
	return t
}

// alone returns the tenant on its only node.
func alone(t topology.Tenant) topology.Tenant {
	t.Peers = nil
	return t
}
