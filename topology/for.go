package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// For computes what the named host must hold. It fails for a host that the fleet does not have and for a lock that does
// not cover the fleet; both errors say what to do.
func For(fleet *config.Fleet, lock *portmap.Lock, name string) (Host, error) {
	b := builder{fleet: fleet, lock: lock, peers: make(map[string]Peer, len(fleet.Hosts)), up: make(map[string]bool, len(fleet.Hosts))}
	var self *config.Host
	for i, h := range fleet.Hosts {
		id, ok := lock.Hosts[h.Name]
		if !ok {
			return Host{}, fmt.Errorf("host %s has no id in the lock; run `culvert allocate`", h.Name)
		}
		b.peers[h.Name] = Peer{
			Host: h.Name, ID: id, Underlay: h.Underlay, MAC: RouterMAC(id),
			IPv4: OverlayIPv4(fleet.Overlay, id), IPv6: OverlayIPv6(fleet.Overlay, id),
			Lost: h.State == config.Lost && h.Name != name,
		}
		b.up[h.Name] = h.State != config.Down
		if h.Has(config.Edge) && b.up[h.Name] {
			b.edges = append(b.edges, h.Name)
		}
		if h.Has(config.LoadBalancer) && b.up[h.Name] {
			b.nodes = append(b.nodes, h.Name)
		}
		if h.Name == name {
			self = &fleet.Hosts[i]
		}
	}
	if self == nil {
		return Host{}, fmt.Errorf("the fleet has no host %q; name one of it with --host, or add it under hosts", name)
	}
	host := Host{Name: name, Underlay: self.Underlay, Port: fleet.Overlay.Port, Uplink: self.Uplink, Underlays: b.underlays(self.Underlay)}
	for i := range fleet.Tenants {
		t, ok, err := b.tenant(&fleet.Tenants[i], self)
		if err != nil {
			return Host{}, err
		}
		if ok {
			host.Tenants = append(host.Tenants, t)
		}
	}
	slices.SortFunc(host.Tenants, func(a, b Tenant) int { return cmp.Compare(a.Name, b.Name) })
	return host, nil
}

type builder struct {
	fleet *config.Fleet
	lock  *portmap.Lock
	peers map[string]Peer
	up    map[string]bool
	edges []string
	// nodes are the hosts with the role of a load balancer that are up.
	nodes []string
}

// tenant computes the tenant's part of the host; false if the host has nothing to do for it.
func (b *builder) tenant(t *config.Tenant, self *config.Host) (Tenant, bool, error) {
	holders := make(map[string]*Peer)
	hold := func(host string) *Peer {
		if holders[host] == nil {
			p := b.peers[host]
			holders[host] = &p
		}
		return holders[host]
	}
	for _, i := range t.Interfaces {
		hold(i.Host).Hypervisor = true
	}
	// Without public addresses nothing of the tenant passes an edge.
	if t.NATGateway != nil || len(t.VirtualIPs) > 0 || len(t.LoadBalancers) > 0 {
		for _, e := range b.edges {
			hold(e).Edge = true
		}
	}
	if len(t.LoadBalancers) > 0 {
		for _, n := range b.nodes {
			hold(n).Balancer = true
		}
	}
	me, ok := holders[self.Name]
	if !ok {
		return Tenant{}, false, nil
	}
	out := Tenant{
		Name: t.Name, VNI: t.VNI, Hypervisor: me.Hypervisor, Edge: me.Edge, Balancer: me.Balancer, Self: *me,
		Nowhere: Nowhere(b.fleet.Overlay), Overlay: b.fleet.Overlay, Timeouts: t.Timeouts, MaxEntries: t.Conntrack.Max,
	}
	for name, p := range holders {
		if name != self.Name && b.up[name] {
			out.Peers = append(out.Peers, *p)
		}
	}
	slices.SortFunc(out.Peers, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	for _, i := range t.Interfaces {
		if i.Host == self.Name {
			out.Interfaces = append(out.Interfaces, i)
			continue
		}
		if !me.Hypervisor {
			continue
		}
		if !b.up[i.Host] {
			out.Unreachable = append(out.Unreachable, i.Addresses...)
			continue
		}
		for _, a := range i.Addresses {
			out.Remote = append(out.Remote, Remote{Address: a, Peer: *holders[i.Host]})
		}
	}
	out.VIPs = b.vips(t, self.Name, holders)
	out.LastBackend = b.lock.Tenants[t.Name].Numbered()
	var err error
	if out.Balancers, err = b.balancers(t, self.Name, holders); err != nil || t.NATGateway == nil {
		return out, true, err
	}
	out.NAT, err = b.nat(t, out, holders)
	return out, true, err
}

// nat computes the host's part of the tenant's NAT gateway.
func (b *builder) nat(t *config.Tenant, self Tenant, holders map[string]*Peer) (*NAT, error) {
	bound := make(map[netip.Addr]bool, len(self.VIPs))
	for _, v := range self.VIPs {
		bound[v.Private] = true
	}
	nat := &NAT{
		Addresses: t.NATGateway.Addresses, PerInterface: t.NATGateway.PortsPerInterface > 0,
		Exempt: t.NATGateway.Exempt, Exempted: b.exempted(t, self, bound, holders),
	}
	// Hypervisors know the owner of a port, and so do nodes: they get packets for addresses that listeners share with the gateway.
	if !self.Hypervisor && !self.Balancer {
		return nat, nil
	}
	locked := b.lock.Tenants[t.Name]
	if locked == nil {
		return nil, fmt.Errorf("tenant %s has no blocks in the lock; run `culvert allocate`", t.Name)
	}
	home := make(map[string]string, len(t.Interfaces))
	for _, i := range t.Interfaces {
		home[i.Name] = i.Host
	}
	mine := make(map[portmap.Claimant][]portmap.Block)
	for _, c := range locked.Claims {
		host := c.Claimant.Host
		if c.Claimant.Interface != "" {
			host = home[c.Claimant.Interface]
		}
		if host == self.Self.Host {
			mine[c.Claimant] = c.Blocks
			continue
		}
		// A host that is gone answers for nothing; what arrives for its ports is dropped where it lands.
		peer, ok := holders[host]
		if !ok || !b.up[host] {
			continue
		}
		for _, block := range slices.Concat(c.Blocks, c.Retired) {
			nat.Owners = append(nat.Owners, Owner{Block: block, Peer: *peer})
		}
	}
	for _, f := range locked.Freed {
		if slices.Contains(nat.Addresses, f.Block.Address) {
			nat.Freed = append(nat.Freed, f.Block)
		}
	}
	for _, i := range self.Interfaces {
		claimant := portmap.Claimant{Host: i.Host}
		if nat.PerInterface {
			claimant = portmap.Claimant{Interface: i.Name}
		}
		blocks := mine[claimant]
		if len(blocks) == 0 {
			return nil, fmt.Errorf("%s of tenant %s has no block in the lock; run `culvert allocate`", claimant, t.Name)
		}
		for _, a := range i.Addresses {
			// A VIP goes before the NAT gateway.
			if a.Is4() && !bound[a] {
				nat.Sources = append(nat.Sources, Source{Address: a, Blocks: blocks})
			}
		}
	}
	return nat, nil
}
