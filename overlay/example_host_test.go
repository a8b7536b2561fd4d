package overlay

import (
	"fmt"
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// The example fleet has the host under test, hv1, with id 1, the hypervisors hv2 and hv3 and the edges edge4 and edge5.

func peer(id byte, edge bool) topology.Peer {
	name := fmt.Sprintf("hv%d", id)
	if edge {
		name = fmt.Sprintf("edge%d", id)
	}
	o := config.DefaultOverlay()
	return topology.Peer{
		Host: name, ID: portmap.HostID(id), Underlay: netip.AddrFrom4([4]byte{192, 0, 2, id}), MAC: topology.RouterMAC(portmap.HostID(id)),
		IPv4: topology.OverlayIPv4(o, portmap.HostID(id)), IPv6: topology.OverlayIPv6(o, portmap.HostID(id)),
		Hypervisor: !edge, Edge: edge,
	}
}

func nic(name, device string, addresses ...string) config.Interface {
	i := config.Interface{Name: name, Host: "hv1", Device: device, MAC: config.MAC{0x52, 0x54, 0, 0, 0, 0x0a}}
	for _, a := range addresses {
		i.Addresses = append(i.Addresses, netip.MustParseAddr(a))
	}
	return i
}

func remote(address string, id byte) topology.Remote {
	return topology.Remote{Address: netip.MustParseAddr(address), Peer: peer(id, false)}
}

func hostOf(tenants ...topology.Tenant) topology.Host {
	return topology.Host{Name: "hv1", Underlay: netip.MustParseAddr("192.0.2.1"), Port: 4789, Uplink: "out0", Tenants: tenants}
}

// hypervisor is a tenant with one VM on hv1 and one on hv2, and an edge.
func hypervisor() topology.Tenant {
	self := peer(1, false)
	return topology.Tenant{
		Name: "acme", VNI: 100, Hypervisor: true, Nowhere: topology.Nowhere(config.DefaultOverlay()), Overlay: config.DefaultOverlay(), Self: self, Peers: []topology.Peer{peer(2, false), peer(4, true)},
		Interfaces: []config.Interface{nic("vm-a", "tap-a", "10.0.0.12", "fd00::12")},
		Remote:     []topology.Remote{remote("10.0.0.47", 2), remote("fd00::47", 2)},
		NAT:        &topology.NAT{Addresses: []netip.Addr{netip.MustParseAddr("45.86.152.23")}},
	}
}

// edge is the same tenant on a host that is an edge.
func edge() topology.Tenant {
	t := hypervisor()
	t.Hypervisor, t.Edge, t.Self.Hypervisor, t.Self.Edge = false, true, false, true
	t.Peers = []topology.Peer{peer(2, false), peer(3, false)}
	t.Interfaces, t.Remote = nil, nil
	return t
}

// both is the same tenant on a host that is hypervisor and edge.
func both() topology.Tenant {
	t := hypervisor()
	t.Edge, t.Self.Edge = true, true
	return t
}

// withVIPs gives the tenant VIPs of both families, one of a host that is down, and a second edge.
func withVIPs(t topology.Tenant) topology.Tenant {
	first, hv2 := peer(1, false), peer(2, false)
	if !t.Hypervisor {
		first = peer(3, false)
	}
	vip := func(public, private string, p topology.Peer) topology.VIP {
		return topology.VIP{Public: netip.MustParseAddr(public), Private: netip.MustParseAddr(private), Peer: p, Local: p.ID == 1, Down: p.ID == 9}
	}
	t.VIPs = []topology.VIP{
		vip("45.86.152.30", "10.0.0.12", first), vip("2001:db8::30", "fd00::12", first),
		vip("45.86.152.31", "10.0.0.47", hv2), vip("2001:db8::31", "fd00::47", hv2),
		vip("45.86.152.32", "10.0.0.63", peer(9, false)), vip("2001:db8::32", "fd00::63", peer(9, false)),
	}
	t.Peers = append(t.Peers, peer(5, true))
	if t.Edge {
		// Sources of the NAT gateway that reach some destinations without translation.
		t.NAT = &topology.NAT{
			Addresses: t.NAT.Addresses, Exempt: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")},
			Exempted: []topology.Remote{remote("10.0.0.48", 2)},
		}
	}
	return t
}

// node is a host that balances and does nothing else.
func node() topology.Tenant {
	t := balanced(edge())
	t.Edge, t.Self.Edge, t.Balancer, t.Self.Balancer = false, false, true, true
	t.Peers = append(t.Peers, peer(4, true), otherNode())
	return t
}

// nodeBoth is a node that runs backends and is an edge.
func nodeBoth() topology.Tenant {
	t := balanced(both())
	t.Balancer, t.Self.Balancer = true, true
	t.Peers = append(t.Peers, otherNode())
	return t
}

// nodeEdge is an edge of a tenant with load balancers.
func nodeEdge() topology.Tenant {
	t := balanced(edge())
	t.Peers = append(t.Peers, otherNode())
	return t
}

func otherNode() topology.Peer {
	p := peer(7, false)
	p.Host, p.Hypervisor, p.Balancer = "lb7", false, true
	return p
}

// balanced gives the tenant load balancers: on the NAT gateway's address, on one of its own, of IPv6, and one that nobody serves.
// One backend is of a host that is down.
func balanced(t topology.Tenant) topology.Tenant {
	first, second, gone := peer(1, false), peer(2, false), peer(9, false)
	if !t.Hypervisor {
		first = peer(3, false)
	}
	backend := func(sequence uint32, vm string, p topology.Peer) topology.Backend {
		a := netip.MustParseAddr(vm)
		return topology.Backend{
			Sequence: sequence, VM: a, Address: topology.BackendAddress(config.DefaultOverlay(), sequence, a.Is4()), MAC: topology.BackendMAC(sequence),
			Weight: 1, Peer: p, Local: p.ID == 1, Down: p.ID == gone.ID,
		}
	}
	balancer := func(address string, shared bool, backends ...topology.Backend) topology.Balancer {
		return topology.Balancer{
			Name: "web", Address: netip.MustParseAddr(address), Shared: shared, Backends: backends,
			Listeners: []config.Listener{{Protocol: config.TCP, Port: 443, BackendPort: 443}},
		}
	}
	t.Balancers = []topology.Balancer{
		balancer("45.86.152.23", true, backend(1, "10.0.0.12", first), backend(2, "10.0.0.47", second), backend(3, "10.0.0.63", gone)),
		balancer("45.86.152.50", false, backend(4, "10.0.0.47", second)),
		balancer("2001:db8::50", false, backend(5, "fd00::12", first), backend(6, "fd00::47", second)),
		balancer("45.86.152.51", false),
	}
	return t
}

// examples are all of them by name.
func examples() map[string]topology.Tenant {
	return map[string]topology.Tenant{
		"node": node(), "node-both": nodeBoth(), "node-edge": nodeEdge(),
		"hypervisor": hypervisor(), "edge": edge(), "both": both(),
		"vips": withVIPs(hypervisor()), "vips-edge": withVIPs(edge()), "vips-both": withVIPs(both()),
	}
}

// other is a second tenant with the same private addresses.
func other() topology.Tenant {
	t := hypervisor()
	t.Name, t.VNI = "blue", 200
	t.Interfaces = []config.Interface{nic("vm-z", "tap-z", "10.0.0.12")}
	return t
}
