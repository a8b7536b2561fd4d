package nft

import (
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

var (
	balanced  = netip.MustParseAddr("45.86.152.50")
	balanced6 = netip.MustParseAddr("2001:db8::50")
)

// balancers are three: one on an address of the NAT gateway, one on addresses of its own, one of IPv6, all served by VMs of hv1 and
// hv2 but for one that drains. self is the host that is asked.
func balancers(self topology.Peer) []topology.Balancer {
	hv1, hv2 := peer(1, "hv1", true, false), peer(2, "hv2", true, false)
	backend := func(sequence uint32, vm netip.Addr, p topology.Peer) topology.Backend {
		return topology.Backend{
			Sequence: sequence, VM: vm, Address: topology.BackendAddress(config.DefaultOverlay(), sequence, vm.Is4()), MAC: topology.BackendMAC(sequence),
			Weight: 1, Peer: p, Local: p.Host == self.Host,
		}
	}
	drained := backend(3, vmA, hv1)
	drained.Draining = true
	return []topology.Balancer{
		{
			Name: "web", Address: public, Shared: true,
			Listeners: []config.Listener{{Protocol: config.TCP, Port: 443, BackendPort: 8443}, {Protocol: config.UDP, Port: 443, BackendPort: 443}},
			Backends:  []topology.Backend{backend(1, vmA, hv1), backend(2, vmB, hv2)},
		},
		{
			Name: "old", Address: balanced,
			Listeners: []config.Listener{{Protocol: config.TCP, Port: 25, BackendPort: 25}}, Backends: []topology.Backend{drained},
		},
		{
			Name: "six", Address: balanced6,
			Listeners: []config.Listener{{Protocol: config.TCP, Port: 80, BackendPort: 80}, {Protocol: config.SCTP, Port: 9, BackendPort: 9}},
			Backends:  []topology.Backend{backend(4, vmA6, hv1), backend(5, vmB6, hv2)},
		},
	}
}

// addNodes gives a tenant load balancers and two nodes: lb5 and lb6, unless the host is one of them.
func addNodes(t topology.Tenant) topology.Tenant {
	for _, p := range []topology.Peer{peer(5, "lb5", false, false), peer(6, "lb6", false, false)} {
		p.Balancer = true
		if p.ID != t.Self.ID {
			t.Peers = append(t.Peers, p)
		}
	}
	t.Balancers, t.LastBackend = balancers(t.Self), 9
	return t
}

// backendHost is a hypervisor that is no node.
func backendHost() topology.Tenant { return addNodes(hypervisor()) }

// node is a host that balances and does nothing else: lb5.
func node() topology.Tenant {
	t := hypervisor()
	t.Peers = append([]topology.Peer{t.Self}, t.Peers...)
	t.Self = peer(5, "lb5", false, false)
	t.Self.Balancer, t.Balancer, t.Hypervisor, t.Interfaces, t.Remote = true, true, false, nil, nil
	t.NAT = &topology.NAT{Addresses: t.NAT.Addresses, Owners: append(t.NAT.Owners, topology.Owner{Block: block(1024, 2047), Peer: t.Peers[0]})}
	return addNodes(t)
}

// nodeEdge is the same host, which is an edge too.
func nodeEdge() topology.Tenant {
	t := node()
	t.Edge, t.Self.Edge = true, true
	return t
}

// nodeHypervisor is a node that runs VMs, with VIPs, and is an edge.
func nodeHypervisor() topology.Tenant {
	t := addNodes(withVIPsBoth())
	t.Balancer, t.Self.Balancer = true, true
	return t
}

// closedEdge is an edge of a tenant whose listeners have no backend.
func closedEdge() topology.Tenant {
	t := addNodes(edge())
	for i, lb := range t.Balancers {
		lb.Backends = nil
		lb.Listeners = append(lb.Listeners, config.Listener{Protocol: config.UDP, Port: 53, BackendPort: 53})
		t.Balancers[i] = lb
	}
	return t
}
