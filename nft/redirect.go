package nft

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// ICMP types (RFC 792). Unreachable, time exceeded and parameter problem carry the packet they are about.
const (
	icmpEchoReply        = 0
	icmpUnreachable      = 3
	icmpEchoRequest      = 8
	icmpTimeExceeded     = 11
	icmpParameterProblem = 12
)

// fragmentMark marks fragments from an edge until conntrack has put them together; "culf" in ASCII.
const fragmentMark = 0x63756c66

// setInsiders holds the MACs of the hosts whose way out this one is.
const setInsiders = "insiders"

// netdev is the table that sees frames before the network stack does.
//
// It answers two questions about a frame from the overlay. Is it from a host that holds the tenant? And, if an edge sent it:
// is another host the owner of the VIP or the port it is for? Such a frame is sent on at once, without a route and without a conntrack
// entry. Only what comes from an edge is redirected, and on a host that turns also what comes from its insiders. Two hosts whose maps
// differ can never bounce a packet between them: who redirects is in nobody's edges, and who turns, being an edge, in nobody's
// insiders.
func (b *builder) netdev() Table {
	const f = NetdevFamily
	t := Table{Family: f, Counters: []Counter{Stranger}, Sets: []Set{b.routers()}}
	ingress := Chain{Name: chainIngress, Base: &Base{Type: "filter", Hook: Ingress, Device: b.vx, Priority: priorityFilter}}
	if b.redirects() {
		// Most frames are an edge's, and an edge is a router: a look at its MAC is enough, and no rule below is about it.
		ingress.Rules = append(ingress.Rules, rule(f, isEthernet(), etherSource(setEdges), goTo(chainFromEdge)))
	}
	// Whoever can send to our VXLAN port, but is no host of this tenant, gets nothing in.
	ingress.Rules = append(ingress.Rules, rule(f, isEthernet(), etherSourceNot(setRouters), count(Stranger), drop()))
	if b.runsBackends() {
		t.Sets = append(t.Sets, b.nodes(), b.backends())
		ingress.Rules = append(ingress.Rules, rule(f, all(isEthernet(), etherSource(setNodes), b.recognise())...))
	}
	if b.loops() {
		t.Chains = append(t.Chains, Chain{
			Name: chainDelivery, Base: &Base{Type: "filter", Hook: Ingress, Device: topology.DeliveryDevice, Priority: priorityFilter},
			Rules: []Rule{rule(f, all(isEthernet(), b.recognise())...)},
		})
	}
	if !b.redirects() {
		t.Chains = append(t.Chains, ingress)
		return t
	}
	t.Counters = append(t.Counters, Redirected)
	t.Sets = append(t.Sets, b.overlayEdges(), b.peers())
	if b.t.NAT != nil {
		t.Sets = append(t.Sets, ported(), icmpErrors(), b.owners())
	}
	if b.handsOver() {
		t.Sets = append(t.Sets, b.listenerNodes()...)
	}
	for _, f := range []Family{IPv4Family, IPv6Family} {
		if b.redirectsWhole(f) {
			t.Sets = append(t.Sets, b.vipOwners(f))
		}
	}
	if b.turns() {
		t.Sets = append(t.Sets, b.insiders(), b.publics(IPv4Family))
		ingress.Rules = append(ingress.Rules, rule(f, isEthernet(), etherSource(setInsiders), isIPv4(), source(IPv4Family, setPublics), jump(chainFromEdge)))
	}
	t.Chains = append([]Chain{b.fromEdge(), ingress}, t.Chains...)
	if b.t.NAT != nil || b.redirectsWhole(IPv4Family) {
		t.Chains = append(t.Chains, b.sendOn())
	}
	if b.redirectsWhole(IPv6Family) {
		t.Sets = append(t.Sets, b.peers6())
		t.Chains = append(t.Chains, b.sendOn6())
	}
	if b.t.Edge {
		// On an edge that is a hypervisor too, packets from outside come by the uplink.
		t.Chains = append(t.Chains, Chain{
			Name: chainFromUplink, Base: &Base{Type: "filter", Hook: Ingress, Device: topology.UplinkDevice, Priority: priorityFilter},
			Rules: []Rule{rule(f, jump(chainFromEdge))},
		})
	}
	return t
}

// redirects reports whether the host sends on what belongs to others.
func (b *builder) redirects() bool {
	knows := b.t.Hypervisor || b.t.Balancer
	return knows && (b.t.NAT != nil || b.redirectsWhole(IPv4Family) || b.redirectsWhole(IPv6Family))
}

// turns reports whether packets of the tenant's VMs for its own NAT gateway end on this host, an edge: the gateway's address is one of
// load balancers too, and so one of the host's own.
func (b *builder) turns() bool {
	return b.t.Edge && b.t.Balancer && slices.ContainsFunc(b.t.Balancers, func(lb topology.Balancer) bool { return lb.Shared })
}

// insiders are hosts that send here what their VMs send out. Other edges are none of them: two such hosts with different maps would
// bounce a packet between them.
func (b *builder) insiders() Set {
	s := set(setInsiders, Type{MAC})
	for _, p := range b.t.Peers {
		if !p.Edge {
			s.Elements[string(Value{}.mac(p.MAC))] = ""
		}
	}
	return s
}

// fromEdge finds the owner of a packet by the VIP or the port that it is for.
func (b *builder) fromEdge() Chain {
	const f = NetdevFamily
	c := Chain{Name: chainFromEdge}
	if b.t.NAT != nil {
		// Nearly all that lands wrong ends here, so this is the first rule, and one: each rule that is asked in vain takes time. Nothing
		// further on checks that hops are left, in older kernels not even fwd.
		c.Rules = append(c.Rules, rule(f, isIPv4(), hopsAbove(IPv4Family, 1), whole(), protocol(setPorted), portOwner("th dport & 65472", 2).mark(), goTo(chainSendOn)))
	}
	// A VIP needs no ports, so fragments go their way as well.
	for _, of := range []Family{IPv4Family, IPv6Family} {
		if b.redirectsWhole(of) {
			c.Rules = append(c.Rules, rule(f, is(of), hopsAbove(of, 1), vipOwner(of).mark(), goTo(chainSendOnOf(of))))
		}
	}
	if b.t.NAT != nil {
		c.Rules = append(c.Rules, b.withoutPorts()...)
		c.Rules = append(c.Rules, b.toNode(f, chainSendOn)...)
	}
	return c
}

// withoutPorts finds the owner of packets that do not begin with ports, and lets go what has none.
func (b *builder) withoutPorts() []Rule {
	const f = NetdevFamily
	return []Rule{
		// The network stack ends what has no hops left.
		rule(f, isIPv4(), hopsBelow(2), accept()),
		// Fragments have no ports: conntrack puts them together first, then the chain "fragments" finds their owner.
		rule(f, isIPv4(), fragment(), setMark(fragmentMark), accept()),
		// Source NAT keeps the identifiers of echo requests in the block as well.
		rule(f, all(isIPv4(), icmp("echo-reply", icmpEchoReply), portOwner("icmp id & 65472", 4).mark(), goTo(chainSendOn))...),
		rule(f, all(isIPv4(), aboutPort(), portOwner("@th,224,16 & 0xffc0", 28).mark(), goTo(chainSendOn))...),
		rule(f, all(isIPv4(), aboutEcho(), portOwner("@th,256,16 & 0xffc0", 32).mark(), goTo(chainSendOn))...),
	}
}

// aboutPort holds for an ICMP error about a packet with ports. It carries the header of that packet, which we sent: with a
// header of 20 bytes, its source port follows 28 bytes after the ICMP header begins.
func aboutPort() []statement {
	return all(icmpIn(setICMPErrors), raw(8, 0x45), rawIn(17, setPorted))
}

// aboutEcho holds for an ICMP error about an echo request, whose identifier follows 32 bytes after the ICMP header begins.
func aboutEcho() []statement {
	return all(icmpIn(setICMPErrors), raw(8, 0x45), raw(17, unix.IPPROTO_ICMP), raw(28, icmpEchoRequest))
}

// fragments catches datagrams that came in fragments and are whole now, before conntrack makes an entry for them.
func (b *builder) fragments() Chain {
	const f = IPv4Family
	return Chain{
		Name: chainFragments, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityReassembled},
		Rules: []Rule{rule(f, marked(fragmentMark), jump(chainToOwner))},
	}
}

// toOwner does with whole datagrams what fromEdge does with packets.
func (b *builder) toOwner() Chain {
	const f = IPv4Family
	c := Chain{Name: chainToOwner, Rules: []Rule{
		// VXLAN would keep the mark, for the underlay's rules to see.
		rule(f, setMark(0)),
		rule(f, protocol(setPorted), portOwner("th dport & 65472", 2).mark(), goTo(chainSendWhole)),
		rule(f, all(icmp("echo-reply", icmpEchoReply), portOwner("icmp id & 65472", 4).mark(), goTo(chainSendWhole))...),
		// An error may quote so much that it does not fit a link.
		rule(f, all(aboutPort(), portOwner("@th,224,16 & 0xffc0", 28).mark(), goTo(chainSendWhole))...),
		rule(f, all(aboutEcho(), portOwner("@th,256,16 & 0xffc0", 32).mark(), goTo(chainSendWhole))...),
	}}
	c.Rules = append(c.Rules, b.toNode(f, chainSendWhole)...)
	return c
}

// addFragments adds what finds the owner of datagrams that came in fragments.
func (b *builder) addFragments(t *Table) {
	t.Counters = append(t.Counters, Reassembled)
	t.Sets = append(t.Sets, ported(), b.owners(), b.freed(), b.peers())
	t.include(icmpErrors())
	if b.handsOver() {
		t.Sets = append(t.Sets, b.listenerNodes()...)
	}
	t.Chains = append([]Chain{b.fragments(), b.toOwner(), b.sendWhole()}, t.Chains...)
}

func icmpErrors() Set {
	return set(setICMPErrors, Type{ICMPType}, Value{icmpUnreachable}, Value{icmpTimeExceeded}, Value{icmpParameterProblem})
}

// owners maps every granule of other hosts' blocks to the owner's overlay address. Our own are left out: a miss means
// "mine", and is cheap to be wrong about, because conntrack has the last word.
func (b *builder) owners() Set {
	s := Set{Name: mapOwners, Key: Type{IPv4, Port}, Data: Type{IPv4}, Elements: make(map[string]string)}
	for _, o := range b.t.NAT.Owners {
		s.granules(o.Block, key(o.Peer.IPv4))
	}
	return s
}

// freed are the granules that were given up. No rule asks for them: what arrives finds no flow. The set notes that those of this host
// have ended ([Plan]).
func (b *builder) freed() Set {
	s := set(setFreed, Type{IPv4, Port})
	for _, block := range b.t.NAT.Freed {
		s.granules(block, "")
	}
	return s
}

func (s *Set) granules(b portmap.Block, value string) {
	for port := int(b.First); port <= int(b.Last); port += portmap.Granule {
		s.Elements[string(Value{}.addr(b.Address).port(uint16(port)))] = value
	}
}
