package nft

import (
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Bits of `ct state` and `ct status` (linux/netfilter/nf_conntrack_common.h: NF_CT_STATE_BIT, enum ip_conntrack_status).
const (
	stateInvalid     = 1 << 0
	stateEstablished = 1 << 1
	stateRelated     = 1 << 2
	stateUntracked   = 1 << 6

	statusAssured    = 1 << 2
	statusConfirmed  = 1 << 3
	statusTranslated = 1 << 4 // IPS_SRC_NAT
	statusRedirected = 1 << 5 // IPS_DST_NAT
)

// hypervisor is the table of a family in which the tenant has public addresses, on a host that runs its VMs.
//
// Forwarding: what belongs to a translated flow or to a VIP passes; what leaves for the outside must have a source and a
// protocol that can be translated; VMs of the tenant talk to each other. Nothing private gets out, whatever conntrack thinks
// of it. Source NAT: a new flow that leaves takes a port of its source's block.
func (b *builder) hypervisor(f Family) Table {
	t := Table{
		Family:   f,
		Counters: []Counter{Unknown, SecondHand, Bounced, Invalid, Unsolicited, Refused, Unreachable, OwnTraffic},
		Sets:     []Set{b.edges(), b.publics(f), b.inside(f)},
		Chains:   []Chain{b.forward(f), b.unowned(f), b.outbound(f), b.output(f)},
	}
	if b.translates(f) {
		t.Counters = append(t.Counters, Untranslated, NoBlock)
		t.Chains = append(t.Chains, b.sourceNAT(f))
	}
	if b.nats(f) {
		t.Sets = append(t.Sets, b.sources())
		t.Sets = append(t.Sets, b.blocks()...)
		b.exhaustion(&t)
		b.addFragments(&t)
	}
	if b.t.Edge {
		t.Counters = append(t.Counters, ForeignSource)
		t.Chains = append(t.Chains, b.transit(f))
	}
	b.addVIPs(&t)
	b.addExempted(&t)
	b.addBackends(&t)
	if b.redirectsFlows(f) {
		t.Chains = append(t.Chains, b.destinationNAT(f))
	}
	b.addNode(&t)
	b.addErrors(&t)
	return t
}

// nats reports whether the tenant has a NAT gateway in the family.
func (b *builder) nats(f Family) bool { return f == IPv4Family && b.t.NAT != nil }

// translates reports whether conntrack translates anything of the family.
func (b *builder) translates(f Family) bool { return b.nats(f) || b.redirectsFlows(f) }

// redirectsFlows reports whether conntrack gives flows of the family another destination.
func (b *builder) redirectsFlows(f Family) bool { return b.hasShared(f) || b.serves(f) }

func (b *builder) forward(f Family) Chain {
	c := Chain{Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter}}
	if b.nats(f) {
		// Nearly every packet ends here.
		c.Rules = append(c.Rules, rule(f, ctTranslatedAndAssured(), accept()))
	}
	if b.serves(f) {
		// Or here, of load balancers.
		c.Rules = append(c.Rules, rule(f, ctDeliveredAndAssured(), accept()))
	}
	// Both directions' segments must fit. The flow of a SYN/ACK is translated already, but not assured.
	c.Rules = append(c.Rules, rule(f, clampMSS()...))
	if b.nats(f) {
		// It has an entry: it has found a port.
		c.Rules = append(c.Rules, rule(f, ctTranslated(), protocol(setPorted), forgetTried()))
	}
	if b.translates(f) {
		c.Rules = append(c.Rules, rule(f, ctTranslated(), accept()))
	}
	if b.serves(f) {
		// The route to a backend is missing.
		c.Rules = append(c.Rules, rule(f, ctRedirected(), destination(f, setInside), outDevice(b.way()), count(Unreachable), rejectHostUnreachable(f)))
	}
	c.Rules = append(c.Rules, b.forwardVIPs(f)...)
	if b.redirectsFlows(f) {
		c.Rules = append(c.Rules, rule(f, ctRedirected(), accept()))
	}
	if b.t.Edge {
		c.Rules = append(c.Rules, b.passExempt(f)...)
		c.Rules = append(c.Rules, b.exemptAnswers(f, topology.UplinkDevice)...)
		c.Rules = append(c.Rules,
			// Other hosts' flows on their way out.
			rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), source(f, setPublics), accept()),
			rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), count(ForeignSource), drop()),
			rule(f, inDevice(topology.UplinkDevice), goTo(chainUnowned)))
	}
	c.Rules = append(c.Rules,
		// Conntrack has no entry for it, or it would not be for a public address any more.
		rule(f, inDevice(b.vx), destination(f, setPublics), goTo(chainUnowned)),
		// An invalid packet passes NAT by: it would leave with its private address.
		rule(f, ctState("invalid", stateInvalid), count(Invalid), drop()),
		// Nobody sends a packet for a VM to a host that does not have the VM, unless the maps are of different ages.
		rule(f, inDevice(b.vx), outDevice(b.vx), count(Bounced), drop()),
		rule(f, destinationNot(f, setInside), goTo(chainOutbound)))
	if b.t.Edge {
		// The route to a VM is missing.
		c.Rules = append(c.Rules, rule(f, outDevice(topology.UplinkDevice), count(Unreachable), rejectHostUnreachable(f)))
	}
	// They may come by any edge, whichever the question took.
	c.Rules = append(c.Rules, b.exemptAnswers(f, b.vx)...)
	c.Rules = append(c.Rules,
		// From VM to VM, or an ICMP error about it. Hosts themselves are nobody's to talk to.
		rule(f, inDevice(b.vx), sourceNot(f, setInside), count(Unsolicited), drop()))
	return c
}

// unowned counts and drops a packet for a public address that belongs to no flow here.
func (b *builder) unowned(f Family) Chain {
	return Chain{Name: chainUnowned, Rules: []Rule{
		rule(f, isEthernet(), etherSource(setEdges), count(Unknown), drop()),
		// Another host thinks that the port is ours: it has an older or a newer map.
		rule(f, count(SecondHand), drop()),
	}}
}

// outbound lets out what source NAT will translate and tells the VM about everything else.
func (b *builder) outbound(f Family) Chain {
	c := Chain{Name: chainOutbound}
	if f == IPv4Family {
		// No edge is left.
		c.Rules = append(c.Rules, rule(f, nexthopIs(b.t.Nowhere.IPv4), count(Unreachable), rejectHostUnreachable(f)))
	}
	c.Rules = append(c.Rules, b.neverOutside(f)...)
	c.Rules = append(c.Rules, b.toExempt(f, setSources)...)
	if b.translates(f) {
		// Translation is decided with a flow's first packet. This flow began without: its destination was inside then.
		c.Rules = append(c.Rules, rule(f, ctConfirmed(), count(Untranslated), drop()))
	}
	if b.hasVIPs(f) {
		c.Rules = append(c.Rules, rule(f, ctState("untracked", stateUntracked), source(f, setVIPVMs), accept()))
	}
	if b.servesVIPs(f) {
		c.Rules = append(c.Rules, rule(f, fromSocket(f, setServed), accept()))
	}
	if b.hasShared(f) {
		c.Rules = append(c.Rules, rule(f, source(f, setShared), accept()))
	}
	if b.nats(f) {
		c.Rules = append(c.Rules,
			rule(f, source(f, setSources), protocol(setPorted), triedInVain(b.tries()), count(Exhausted), rejectProhibited(f)),
			rule(f, source(f, setSources), protocol(setPorted), accept()),
			rule(f, all(source(f, setSources), icmp("echo-request", icmpEchoRequest), accept())...))
	}
	c.Rules = append(c.Rules, rule(f, count(Refused), rejectProhibited(f)))
	return c
}

// neverOutside refuses what an edge's own machine or others could take for theirs, and what would tell of the inside.
func (b *builder) neverOutside(f Family) []Rule {
	overlay := rule(f, destinationIn(overlayPrefix(b.t, f)), count(Refused), rejectProhibited(f))
	if f == IPv6Family {
		// The kernel forwards nothing link-local.
		return []Rule{overlay}
	}
	return []Rule{
		// Routers must not forward link-local addresses (RFC 3927 section 7); behind an edge, they may be its own machine's.
		rule(f, destinationIn(linkLocal), count(Refused), rejectProhibited(f)),
		overlay,
		// Options such as record route would carry addresses of the inside out (RFC 791 section 3.1).
		rule(f, hasOptions(), count(Refused), rejectProhibited(f)),
	}
}

// output keeps what this namespace itself says to the outside inside, unless it is an ICMP error about a flow of a public
// address, or of an exempt one. Conntrack gives it that address, or the chain "from_vip" does.
func (b *builder) output(f Family) Chain {
	c := Chain{Name: chainOutput, Base: &Base{Type: "filter", Hook: Output, Priority: priorityFilter}}
	if b.translates(f) {
		c.Rules = append(c.Rules, rule(f, ctTranslated(), accept()))
	}
	c.Rules = append(c.Rules, b.outputVIPs(f)...)
	if b.redirectsFlows(f) {
		c.Rules = append(c.Rules, rule(f, ctRedirected(), accept()))
	}
	c.Rules = append(c.Rules, b.exemptErrors(f)...)
	c.Rules = append(c.Rules, b.nodeOutput(f)...)
	if b.nats(f) {
		// A redirected datagram, whose owner may be an edge as well.
		c.Rules = append(c.Rules, rule(f, ctState("untracked", stateUntracked), accept()))
	}
	c.Rules = append(c.Rules, b.staysInside(f))
	return c
}

// staysInside drops what would leave for the outside with an overlay address.
func (b *builder) staysInside(f Family) Rule {
	leaves := all(destinationNot(f, setInside))
	if f == IPv6Family {
		// Neighbour discovery speaks to VMs by link-local and multicast addresses.
		leaves = all(outDevice(b.way()), leaves)
	}
	return rule(f, all(leaves, count(OwnTraffic), drop())...)
}

// sourceNAT gives a new flow that leaves a public address and, if it has no address for itself, a port.
func (b *builder) sourceNAT(f Family) Chain {
	c := Chain{Name: chainSourceNAT, Base: &Base{Type: "nat", Hook: Postrouting, Priority: prioritySourceNAT}}
	leaves, echo := all(destinationNot(f, setInside)), icmp("echo-request", icmpEchoRequest)
	if b.servesVIPs(f) {
		// A flow of a VM's port that serves a load balancer, begun by the VM.
		c.Rules = append(c.Rules, rule(f, all(leaves, snatToVIP(f, mapVIPOut))...))
	}
	if b.hasShared(f) {
		c.Rules = append(c.Rules, rule(f, all(leaves, snatToVIP(f, mapSharedOut))...))
	}
	c.Rules = append(c.Rules, b.toExempt(f, setSources)...)
	switch {
	case !b.nats(f):
	case b.t.NAT.PerInterface:
		c.Rules = append(c.Rules,
			rule(f, all(leaves, snatBySource(mapBlocks))...),
			rule(f, all(leaves, echo, snatBySourceAndSlot(byIdentifier, mapOwnSlots))...),
			rule(f, all(leaves, snatBySourceAndSlot(byPort, mapOwnSlots))...))
	default:
		c.Rules = append(c.Rules,
			rule(f, all(leaves, source(f, setSources), echo, snatBySlot(byIdentifier, mapSlots))...),
			rule(f, all(leaves, source(f, setSources), snatBySlot(byPort, mapSlots))...))
	}
	c.Rules = append(c.Rules, rule(f, all(leaves, count(NoBlock), drop())...))
	return c
}

// transit keeps other hosts' translated flows, which pass an edge, out of this host's conntrack.
func (b *builder) transit(f Family) Chain {
	return Chain{
		Name: chainTransit, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityRaw},
		Rules: append([]Rule{rule(f, all(inDevice(b.vx), source(f, setPublics), b.elsewhere(f), notrack())...)}, b.transitExempt(f)...),
	}
}

// elsewhere leaves out what is for the host itself, which on a node may be for a port of its VMs.
func (b *builder) elsewhere(f Family) []statement {
	if b.nats(f) && b.balances(f) {
		return all(destinationNot(f, setListening))
	}
	return nil
}

func (b *builder) sources() Set {
	s := set(setSources, Type{IPv4})
	for _, src := range b.t.NAT.Sources {
		s.Elements[key(src.Address)] = ""
	}
	return s
}

// span is the data of a block: the address and the first port, the address and the last port.
func span(b portmap.Block) string {
	return string(Value{}.addr(b.Address).port(b.First).addr(b.Address).port(b.Last))
}

// blocks are the maps of source NAT.
//
// The sources of a host share its blocks: one map, the slots dealt over the blocks. With blocks of its own per interface,
// a source with one block (nearly all) has one element; only one that has grown needs an element for each slot.
func (b *builder) blocks() []Set {
	data := Type{IPv4, Port}
	if !b.t.NAT.PerInterface {
		slots := Set{Name: mapSlots, Key: Type{Mark}, Data: data, Range: true, Elements: make(map[string]string)}
		if len(b.t.NAT.Sources) > 0 {
			for i, block := range portmap.Deal(b.t.NAT.Sources[0].Blocks) {
				slots.Elements[string(Value{}.slot(i))] = span(block)
			}
		}
		return []Set{slots}
	}
	whole := Set{Name: mapBlocks, Key: Type{IPv4}, Data: data, Range: true, Elements: make(map[string]string)}
	slots := Set{Name: mapOwnSlots, Key: Type{IPv4, Mark}, Data: data, Range: true, Elements: make(map[string]string)}
	for _, src := range b.t.NAT.Sources {
		if len(src.Blocks) == 1 {
			whole.Elements[key(src.Address)] = span(src.Blocks[0])
			continue
		}
		for i, block := range portmap.Deal(src.Blocks) {
			slots.Elements[string(Value{}.addr(src.Address).slot(i))] = span(block)
		}
	}
	return []Set{whole, slots}
}

// eastWest is the table of a family in which VMs of the tenant talk to each other alone; nothing leaves to the outside and
// nothing comes from there. The tenant may have public addresses of the other family.
func (b *builder) eastWest(f Family) Table {
	c := Chain{Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter}}
	c.Rules = append(c.Rules,
		rule(f, clampMSS()...),
		rule(f, inDevice(b.vx), outDevice(b.vx), count(Bounced), drop()),
		// Hosts that do not know yet that the tenant has no public addresses any more. Who sent it must not hear of the inside.
		rule(f, inDevice(b.vx), destinationNot(f, setInside), count(Unsolicited), drop()))
	if b.t.Edge {
		c.Rules = append(c.Rules, rule(f, inDevice(topology.UplinkDevice), count(Unsolicited), drop()))
	}
	c.Rules = append(c.Rules,
		// There is no way outside: the default route, if there is one, is for proxy ARP.
		rule(f, destinationNot(f, setInside), count(Unreachable), rejectHostUnreachable(f)),
		rule(f, inDevice(b.vx), sourceNot(f, setInside), count(Unsolicited), drop()))
	output := Chain{Name: chainOutput, Base: &Base{Type: "filter", Hook: Output, Priority: priorityFilter}, Rules: []Rule{b.staysInside(f)}}
	t := Table{
		Family: f, Counters: []Counter{Bounced, Unreachable, Unsolicited, OwnTraffic}, Sets: []Set{b.inside(f)},
		Chains: []Chain{c, output},
	}
	b.addErrors(&t)
	return t
}
