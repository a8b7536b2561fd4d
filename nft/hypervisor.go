package nft

import (
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Bits of `ct state` and `ct status` (linux/netfilter/nf_conntrack_common.h: NF_CT_STATE_BIT, enum ip_conntrack_status).
const (
	stateInvalid   = 1 << 0
	stateUntracked = 1 << 6

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
		Sets:     []Set{b.edges(), b.edgeVMs(f), b.publics(f), b.gateways(f), b.inside(f)},
		Chains:   []Chain{b.forward(f), b.unowned(f), b.outbound(f), b.output(f)},
	}
	if b.translates(f) {
		t.Counters = append(t.Counters, Untranslated, NoBlock)
		t.Chains = append(t.Chains, b.sourceNAT(f))
	}
	if b.nats(f) {
		t.Counters = append(t.Counters, Reassembled)
		t.Sets = append(t.Sets, b.sources(), ported(), b.owners())
		t.Sets = append(t.Sets, b.blocks()...)
		t.Chains = append([]Chain{b.fragments(), b.toOwner()}, t.Chains...)
	}
	if b.t.Edge {
		t.Counters = append(t.Counters, ForeignSource)
		t.Chains = append(t.Chains, b.transit(f))
	}
	b.addVIPs(&t)
	return t
}

// nats reports whether the tenant has a NAT gateway in the family.
func (b *builder) nats(f Family) bool { return f == IPv4Family && b.t.NAT != nil }

// translates reports whether conntrack translates anything of the family.
func (b *builder) translates(f Family) bool { return b.nats(f) || b.hasShared(f) }

func (b *builder) forward(f Family) Chain {
	c := Chain{Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter}}
	if b.nats(f) {
		// Nearly every packet ends here.
		c.Rules = append(c.Rules, rule(f, ctTranslatedAndAssured(), accept()))
	}
	// Both directions' segments must fit. The flow of a SYN/ACK is translated already, but not assured.
	c.Rules = append(c.Rules, rule(f, clampMSS()...))
	if b.translates(f) {
		c.Rules = append(c.Rules, rule(f, ctTranslated(), accept()))
	}
	c.Rules = append(c.Rules, b.forwardVIPs(f)...)
	if b.t.Edge {
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
		rule(f, nexthop(f, setGateways), destinationNot(f, setEdgeVMs), goTo(chainOutbound)),
		rule(f, isEthernet(), inDevice(b.vx), etherSource(setEdges), sourceNot(f, setEdgeVMs), count(Unsolicited), drop()))
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
	c := Chain{Name: chainOutbound, Rules: []Rule{
		// A VM whose device or host is gone. Outside there might be somebody else with that address.
		rule(f, destination(f, setInside), count(Unreachable), rejectHostUnreachable(f)),
	}}
	if b.translates(f) {
		// Translation is decided with a flow's first packet. This flow began without: its destination was inside then.
		c.Rules = append(c.Rules, rule(f, ctConfirmed(), count(Untranslated), drop()))
	}
	if b.hasShared(f) {
		c.Rules = append(c.Rules, rule(f, source(f, setShared), accept()))
	}
	if b.nats(f) {
		c.Rules = append(c.Rules,
			rule(f, source(f, setSources), protocol(setPorted), accept()),
			rule(f, all(source(f, setSources), icmp("echo-request", icmpEchoRequest), accept())...))
	}
	c.Rules = append(c.Rules, rule(f, count(Refused), rejectProhibited(f)))
	return c
}

// output keeps what this namespace itself says to the outside inside, unless it is an ICMP error about a flow of a public
// address. Conntrack gives it that address, or the chain "vip_out" does.
func (b *builder) output(f Family) Chain {
	c := Chain{Name: chainOutput, Base: &Base{Type: "filter", Hook: Output, Priority: priorityFilter}}
	if b.translates(f) {
		c.Rules = append(c.Rules, rule(f, ctTranslated(), accept()))
	}
	c.Rules = append(c.Rules, b.outputVIPs(f)...)
	if b.nats(f) {
		// A redirected datagram, whose owner may be an edge as well.
		c.Rules = append(c.Rules, rule(f, ctState("untracked", stateUntracked), accept()))
	}
	c.Rules = append(c.Rules, rule(f, nexthop(f, setGateways), destinationNot(f, setEdgeVMs), count(OwnTraffic), drop()))
	return c
}

// sourceNAT gives a new flow that leaves a public address and, if it has no address for itself, a port.
func (b *builder) sourceNAT(f Family) Chain {
	c := Chain{Name: chainSourceNAT, Base: &Base{Type: "nat", Hook: Postrouting, Priority: prioritySourceNAT}}
	leaves := all(nexthop(f, setGateways), destinationNot(f, setEdgeVMs))
	if b.hasShared(f) {
		c.Rules = append(c.Rules, rule(f, all(leaves, snatToVIP(f))...))
	}
	switch {
	case !b.nats(f):
	case b.t.NAT.PerInterface:
		c.Rules = append(c.Rules,
			rule(f, all(leaves, snatBySource(mapBlocks))...),
			rule(f, all(leaves, snatBySourceAndSlot(mapOwnSlots))...))
	default:
		c.Rules = append(c.Rules, rule(f, all(leaves, source(f, setSources), snatBySlot(mapSlots))...))
	}
	c.Rules = append(c.Rules, rule(f, all(leaves, count(NoBlock), drop())...))
	return c
}

// transit keeps other hosts' translated flows, which pass an edge, out of this host's conntrack.
func (b *builder) transit(f Family) Chain {
	return Chain{
		Name: chainTransit, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityRaw},
		Rules: []Rule{rule(f, inDevice(b.vx), source(f, setPublics), notrack())},
	}
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
		slots := Set{Name: mapSlots, Key: Type{Slot}, Data: data, Range: true, Elements: make(map[string]string)}
		if len(b.t.NAT.Sources) > 0 {
			for i, block := range portmap.Deal(b.t.NAT.Sources[0].Blocks) {
				slots.Elements[string(Value{}.slot(i))] = span(block)
			}
		}
		return []Set{slots}
	}
	whole := Set{Name: mapBlocks, Key: Type{IPv4}, Data: data, Range: true, Elements: make(map[string]string)}
	slots := Set{Name: mapOwnSlots, Key: Type{IPv4, Slot}, Data: data, Range: true, Elements: make(map[string]string)}
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

// closed lets VMs of the tenant talk to each other; nothing leaves to the outside and nothing comes from there. The tenant
// has public addresses of the other family alone.
func (b *builder) closed(f Family) Table {
	t := b.eastWest(f)
	t.Counters = append(t.Counters, Unsolicited)
	t.Sets = []Set{b.edges(), b.edgeVMs(f)}
	forward := &t.Chains[0]
	forward.Rules = append(forward.Rules,
		rule(f, isEthernet(), inDevice(b.vx), etherSource(setEdges), sourceNot(f, setEdgeVMs), count(Unsolicited), drop()))
	if b.t.Edge {
		forward.Rules = append(forward.Rules,
			rule(f, inDevice(topology.UplinkDevice), count(Unsolicited), drop()))
	}
	return t
}

// eastWest is the table of a family in which VMs of the tenant talk to each other alone.
func (b *builder) eastWest(f Family) Table {
	return Table{Family: f, Counters: []Counter{Bounced, Private}, Chains: []Chain{{
		Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter},
		Rules: []Rule{
			// An edge has a default route before the rules of its first public address, and after those of its last.
			rule(f, outDevice(topology.UplinkDevice), count(Private), drop()),
			rule(f, clampMSS()...),
			rule(f, inDevice(b.vx), outDevice(b.vx), count(Bounced), drop()),
		},
	}}}
}
