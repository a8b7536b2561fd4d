package nft

import (
	"slices"

	"github.com/culvertnet/culvert/topology"
)

// hasVIPs reports whether the tenant has VIPs of the family, on any host.
func (b *builder) hasVIPs(f Family) bool {
	return slices.ContainsFunc(b.t.VIPs, func(v topology.VIP) bool { return v.Public.Is4() == (f == IPv4Family) })
}

// hasShared reports whether a private address of the family has several VIPs, on any host. To know which of them a packet
// leaves from takes conntrack.
func (b *builder) hasShared(f Family) bool {
	return slices.ContainsFunc(b.t.VIPs, func(v topology.VIP) bool { return v.Shared && v.Public.Is4() == (f == IPv4Family) })
}

// addVIPs adds what translates VIPs of this host's VMs.
//
// A private address with one VIP is translated without conntrack: packets for the VIP on their way in before routing, packets
// of the VM on their way out after it, so that whatever this host itself has to say to the VM about them fits what the VM sent.
func (b *builder) addVIPs(t *Table) {
	f := t.Family
	if !b.hasVIPs(f) {
		return
	}
	t.Counters = append(t.Counters, Private)
	t.Sets = append(t.Sets, b.stateless(f)...)
	t.Chains = append(t.Chains, b.toVIP(f), b.vip(f), b.fromVIP(f))
	if b.hasShared(f) {
		t.Sets = append(t.Sets, b.shared(f)...)
	}
	if b.servesVIPs(f) {
		t.Sets = append(t.Sets, b.served(f)...)
	}
}

// vip keeps packets of VIPs out of conntrack. A VIP is for what comes from outside: VMs of the tenant that use it go by an edge.
func (b *builder) vip(f Family) Chain {
	c := Chain{Name: chainVIP, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityVIP}}
	c.Rules = append(c.Rules, rule(f, inDevice(b.vx), goTo(chainToVIP)))
	if b.t.Edge {
		c.Rules = append(c.Rules, rule(f, inDevice(topology.UplinkDevice), goTo(chainToVIP)))
	}
	c.Rules = append(c.Rules,
		// Inside the tenant a VM has its private address.
		rule(f, destination(f, setInside), accept()))
	c.Rules = append(c.Rules, b.keepServed(f)...)
	c.Rules = append(c.Rules, rule(f, source(f, setVIPVMs), notrack()))
	return c
}

// toVIP gives a packet for a VIP its private destination. A VIP that is not here ends each rule.
func (b *builder) toVIP(f Family) Chain {
	c := Chain{Name: chainToVIP, Rules: b.keepServedVIPs(f)}
	c.Rules = append(c.Rules,
		// An error is about a packet that left from the VIP.
		rule(f, all(icmpErrorOf(f), setQuotedSource(f, mapVIPIn))...),
		rule(f, setDestination(f, mapVIPIn), notrack()))
	return c
}

// fromVIP gives a packet that leaves the VIP as its source.
func (b *builder) fromVIP(f Family) Chain {
	return Chain{
		Name: chainFromVIP, Base: &Base{Type: "filter", Hook: Postrouting, Priority: priorityVIPSource},
		Rules: slices.Concat([]Rule{rule(f, destination(f, setInside), accept())}, b.leavesExempt(f), []Rule{
			// An error is about a packet that came for the VIP. This namespace's own leaves as the VIP. That of a VM does as the VM's,
			// whichever packet the VM says it is about.
			rule(f, all(sourceNot(f, setVIPVMs), icmpErrorOf(f), setSourceToQuoted(f, mapVIPOut))...),
			rule(f, all(icmpErrorOf(f), setQuotedDestination(f, mapVIPOut))...),
			rule(f, setSource(f, mapVIPOut), accept()),
			// The maps have changed while the packet was on its way.
			rule(f, source(f, setInside), count(Private), drop()),
		}),
	}
}

// forwardVIPs lets packets of VIPs pass.
func (b *builder) forwardVIPs(f Family) []Rule {
	if !b.hasVIPs(f) {
		return nil
	}
	rules := []Rule{
		// A VM whose device is gone has no route; the default route is not for it.
		rule(f, ctState("untracked", stateUntracked), destination(f, setVIPVMs), outDevice(b.way()), count(Unreachable), rejectHostUnreachable(f)),
		rule(f, ctState("untracked", stateUntracked), source(f, setVIPVMs), goTo(chainOutbound)),
		rule(f, ctState("untracked", stateUntracked), destination(f, setVIPVMs), accept()),
	}
	if b.hasShared(f) {
		rules = append(rules, rule(f, destination(f, setShared), outDevice(b.way()), count(Unreachable), rejectHostUnreachable(f)))
	}
	return rules
}

// way is the device of the default route.
func (b *builder) way() string {
	if b.t.Edge {
		return topology.UplinkDevice
	}
	return b.vx
}

// outputVIPs lets out errors about packets that came for a VIP.
func (b *builder) outputVIPs(f Family) []Rule {
	if !b.hasVIPs(f) {
		return nil
	}
	return []Rule{rule(f, all(icmpErrorOf(f), quotedDestination(f, setVIPVMs), accept())...)}
}

// destinationNAT gives a flow for a load balancer its backend, and one for one of several VIPs of a private address that address;
// conntrack remembers which it was for.
func (b *builder) destinationNAT(f Family) Chain {
	c := Chain{Name: chainDestNAT, Base: &Base{Type: "nat", Hook: Prerouting, Priority: priorityDestNAT}}
	if b.serves(f) {
		c.Rules = append(c.Rules, rule(f, dnatToBackend(f)))
	}
	for _, device := range b.entrances() {
		if b.hasShared(f) {
			c.Rules = append(c.Rules, rule(f, inDevice(device), dnat(f, mapSharedIn)))
		}
		if b.servesVIPs(f) {
			c.Rules = append(c.Rules, rule(f, inDevice(device), dnat(f, mapVIPIn)))
		}
	}
	return c
}

// stateless are the maps of this host's private addresses with one VIP.
func (b *builder) stateless(f Family) []Set {
	vms := set(setVIPVMs, f.address())
	in, out := addresses(mapVIPIn, f), addresses(mapVIPOut, f)
	for _, v := range b.local(f) {
		if !v.Shared {
			vms.Elements[key(v.Private)] = ""
			in.Elements[key(v.Public)] = key(v.Private)
			out.Elements[key(v.Private)] = key(v.Public)
		}
	}
	return []Set{vms, in, out}
}

// shared are the maps of this host's private addresses with several VIPs. New flows leave from the first.
func (b *builder) shared(f Family) []Set {
	vms := set(setShared, f.address())
	in, out := addresses(mapSharedIn, f), addresses(mapSharedOut, f)
	for _, v := range b.local(f) {
		if !v.Shared {
			continue
		}
		vms.Elements[key(v.Private)] = ""
		in.Elements[key(v.Public)] = key(v.Private)
		if _, taken := out.Elements[key(v.Private)]; !taken {
			out.Elements[key(v.Private)] = key(v.Public)
		}
	}
	return []Set{vms, in, out}
}

// local are the VIPs of this host's VMs.
func (b *builder) local(f Family) []topology.VIP {
	var out []topology.VIP
	for _, v := range b.t.VIPs {
		if v.Local && v.Public.Is4() == (f == IPv4Family) {
			out = append(out, v)
		}
	}
	return out
}

// redirectsWhole reports whether addresses of the family are other hosts' with all their ports.
func (b *builder) redirectsWhole(f Family) bool {
	return b.hasVIPs(f) || !b.t.Balancer && len(b.t.Balanced(f == IPv4Family)) > 0
}

// vipOwners maps other hosts' VIPs to the host's overlay address, of IPv4 in both families.
func (b *builder) vipOwners(f Family) Set {
	s := addresses(vipOwnersMap(f), f)
	s.Data = Type{IPv4}
	// An address of load balancers alone is any node's.
	if node, ok := b.t.Node(); ok {
		for _, a := range b.t.Balanced(f == IPv4Family) {
			s.Elements[key(a)] = key(node.IPv4)
		}
	}
	for _, v := range b.t.VIPs {
		if !v.Local && !v.Down && v.Public.Is4() == (f == IPv4Family) {
			s.Elements[key(v.Public)] = key(v.Peer.IPv4)
		}
	}
	return s
}

// vipOwnersMap names the map: both families are in one table.
func vipOwnersMap(f Family) string {
	if f == IPv6Family {
		return mapVIPOwners6
	}
	return mapVIPOwners
}

// addresses is an empty map from addresses to addresses.
func addresses(name string, f Family) Set {
	return Set{Name: name, Key: f.address(), Data: f.address(), Elements: make(map[string]string)}
}
