package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// Balancer is a load balancer of the tenant: a public address with ports that backends serve.
type Balancer struct {
	Name    string
	Address netip.Addr
	// Shared is true if the address is one of the NAT gateway too, which owns all other ports of it.
	Shared bool
	// Listeners are in the fleet's order, each with its backend port filled in.
	Listeners []config.Listener
	// Backends are in the order of their sequence numbers, which the scheduler's table depends on.
	Backends []Backend
	// HealthCheck is nil for a load balancer whose backends are always taken for healthy.
	HealthCheck *config.HealthCheck
}

// Backend is an interface that serves a load balancer. It has an address and a MAC of its own for each load balancer.
type Backend struct {
	Interface string
	// Sequence is the number in the lock: unique in the fleet, in the order of creation.
	Sequence uint32
	// VM is the private address that serves: the interface's first of the load balancer's family.
	VM netip.Addr
	// Address is where nodes send to, in the upper half of the overlay; MAC is what tells the backend's host whom for.
	Address netip.Addr
	MAC     config.MAC
	// Weight is the share of new flows, 1-65535; a backend that drains gets none and keeps its weight.
	Weight   int
	Draining bool
	// Sick is true if the backend fails its health check ([Tenant.Judge]): it gets no new flows either.
	Sick bool
	// Peer is the host that runs the interface; Local is true if that is this one.
	Peer  Peer
	Local bool
	// Down is true if that host is down: it is no destination of any node.
	Down bool
	// Lost is true if nothing is heard of that host, and of another backend's something is: it gets no new flows.
	Lost bool
}

// Serves reports whether the backend gets new flows.
func (b Backend) Serves() bool { return !b.Draining && !b.Sick && !b.Down && !b.Lost && b.Weight > 0 }

// Open reports whether a backend gets new flows; without one, the load balancer's listeners refuse them.
func (b Balancer) Open() bool { return slices.ContainsFunc(b.Backends, Backend.Serves) }

// Balanced are the addresses of one family that are load balancers' alone, each once, in the fleet's order.
func (t Tenant) Balanced(is4 bool) []netip.Addr {
	var out []netip.Addr
	for _, b := range t.Balancers {
		if !b.Shared && b.Address.Is4() == is4 && !slices.Contains(out, b.Address) {
			out = append(out, b.Address)
		}
	}
	return out
}

// Listening are the addresses of one family that load balancers listen on, each once, in the fleet's order.
func (t Tenant) Listening(is4 bool) []netip.Addr {
	var out []netip.Addr
	for _, b := range t.Balancers {
		if b.Address.Is4() == is4 && !slices.Contains(out, b.Address) {
			out = append(out, b.Address)
		}
	}
	return out
}

// Answered reports whether a load balancer on the address has a backend that is there to answer, be it one that drains. Where
// none is, edges need not bring packets for an address that is load balancers' alone.
func (t Tenant) Answered(address netip.Addr) bool {
	return slices.ContainsFunc(t.Balancers, func(b Balancer) bool {
		return b.Address == address && slices.ContainsFunc(b.Backends, func(b Backend) bool { return !b.Down && !b.Sick })
	})
}

// Nodes are the tenant's load-balancing hosts that are up, this one included, by id.
func (t Tenant) Nodes() []Peer {
	var out []Peer
	for _, p := range append(slices.Clip(t.Peers), t.Self) {
		if p.Balancer {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Node is who gets packets for listeners that land on this host; false if this host is a node itself or none is up. All nodes
// choose the same backend, so any will do: hosts spread over them by id.
func (t Tenant) Node() (Peer, bool) {
	nodes := Present(t.Nodes())
	if t.Balancer || len(nodes) == 0 {
		return Peer{}, false
	}
	return nodes[int(t.Self.ID)%len(nodes)], true
}

// BackendMAC is a backend's link-layer address: locally administered, the last three bytes are the sequence number.
func BackendMAC(sequence uint32) config.MAC {
	return config.MAC{0x06, 0x63, 0x76, byte(sequence >> 16), byte(sequence >> 8), byte(sequence)}
}

// BackendAddress is a backend's overlay address of a family: the sequence number counted from the middle of the prefix.
func BackendAddress(o config.Overlay, sequence uint32, is4 bool) netip.Addr {
	prefix := o.IPv6
	if is4 {
		prefix = o.IPv4
	}
	b := prefix.Masked().Addr().AsSlice()
	b[prefix.Bits()/8] |= 0x80 >> (prefix.Bits() % 8)
	for i := 0; i < 4; i++ {
		b[len(b)-1-i] |= byte(sequence >> (8 * i))
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// BackendPrefix has all overlay addresses of backends of a family, and those of nobody else.
func BackendPrefix(o config.Overlay, is4 bool) netip.Prefix {
	bits := o.IPv6.Bits()
	if is4 {
		bits = o.IPv4.Bits()
	}
	return netip.PrefixFrom(BackendAddress(o, 0, is4), bits+1)
}

// balancers computes the tenant's load balancers.
func (b *builder) balancers(t *config.Tenant, self string, holders map[string]*Peer) ([]Balancer, error) {
	nics := make(map[string]config.Interface, len(t.Interfaces))
	for _, i := range t.Interfaces {
		nics[i.Name] = i
	}
	locked := b.lock.Tenants[t.Name]
	var out []Balancer
	for _, entry := range t.LoadBalancers {
		balancer := Balancer{
			Name: entry.Name, Address: entry.Address, Listeners: slices.Clone(entry.Listeners),
			HealthCheck: entry.HealthCheck,
			Shared:      t.NATGateway != nil && slices.Contains(t.NATGateway.Addresses, entry.Address),
		}
		for i, l := range balancer.Listeners {
			balancer.Listeners[i].BackendPort = cmp.Or(l.BackendPort, l.Port)
		}
		for _, backend := range entry.Backends {
			sequence, ok := uint32(0), false
			if locked != nil {
				sequence, ok = locked.Backends[portmap.BackendKey(entry.Name, backend.Interface)]
			}
			if !ok {
				return nil, fmt.Errorf("backend %s of load balancer %s of tenant %s has no number in the lock; run `culvert allocate`", backend.Interface, entry.Name, t.Name)
			}
			nic := nics[backend.Interface]
			local := nic.Host == self
			balancer.Backends = append(balancer.Backends, Backend{
				Interface: backend.Interface, Sequence: sequence,
				VM:      choose(nic.Addresses, entry.Address.Is4(), nil),
				Address: BackendAddress(b.fleet.Overlay, sequence, entry.Address.Is4()), MAC: BackendMAC(sequence),
				Weight: max(backend.Weight, 1), Draining: backend.Drain,
				Peer: *holders[nic.Host], Local: local, Down: !local && !b.up[nic.Host],
			})
		}
		slices.SortFunc(balancer.Backends, func(a, b Backend) int { return cmp.Compare(a.Sequence, b.Sequence) })
		balancer.loseBackends()
		out = append(out, balancer)
	}
	return out, nil
}
