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
)

// hypervisorIPv4 is the table of a host that runs VMs of the tenant, if the tenant has a NAT gateway.
//
// Forwarding: what belongs to a translated flow passes; what leaves for the outside must have a source and a protocol that
// can be translated; VMs of the tenant talk to each other. Nothing private gets out, whatever conntrack thinks of it.
// Source NAT: a new flow that leaves takes a port of its source's block.
func (b *builder) hypervisorIPv4() Table {
	t := Table{
		Family:   IPv4Family,
		Counters: []Counter{Unknown, SecondHand, Bounced, Invalid, Unsolicited, Refused, Untranslated, Unreachable, NoBlock, OwnTraffic, Reassembled},
		Sets:     []Set{b.edges(), b.publics(), b.inside(IPv4Family), b.sources(), ported(), b.owners()},
		Chains:   []Chain{b.fragments(), b.toOwner(), b.forward(), b.unowned(), b.outbound(), b.output(), b.sourceNAT()},
	}
	t.Sets = append(t.Sets, b.blocks()...)
	if b.t.Edge {
		t.Counters = append(t.Counters, ForeignSource)
		t.Chains = append(t.Chains, b.transit())
	}
	return t
}

func (b *builder) forward() Chain {
	const f = IPv4Family
	c := Chain{Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter}}
	c.Rules = append(c.Rules,
		// Nearly every packet ends here.
		rule(f, ctTranslatedAndAssured(), accept()),
		// Both directions' segments must fit. The flow of a SYN/ACK is translated already, but not assured.
		rule(f, clampMSS()...),
		rule(f, ctTranslated(), accept()))
	if b.t.Edge {
		c.Rules = append(c.Rules,
			// Other hosts' flows on their way out.
			rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), source(setPublics), accept()),
			rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), count(ForeignSource), drop()),
			rule(f, inDevice(topology.UplinkDevice), goTo(chainUnowned)))
	}
	c.Rules = append(c.Rules,
		// Conntrack has no entry for it, or it would not be for a public address any more.
		rule(f, inDevice(b.vx), destination(setPublics), goTo(chainUnowned)),
		// An invalid packet passes NAT by: it would leave with its private address.
		rule(f, ctState("invalid", stateInvalid), count(Invalid), drop()),
		// Nobody sends a packet for a VM to a host that does not have the VM, unless the maps are of different ages.
		rule(f, inDevice(b.vx), outDevice(b.vx), count(Bounced), drop()),
		rule(f, destinationNot(setInside), goTo(chainOutbound)))
	if b.t.Edge {
		// The route to a VM is missing.
		c.Rules = append(c.Rules, rule(f, outDevice(topology.UplinkDevice), count(Unreachable), rejectHostUnreachable()))
	}
	c.Rules = append(c.Rules,
		// From VM to VM, or an ICMP error about it. Hosts themselves are nobody's to talk to.
		rule(f, inDevice(b.vx), sourceNot(setInside), count(Unsolicited), drop()))
	return c
}

// unowned counts and drops a packet for a public address that belongs to no flow here.
func (b *builder) unowned() Chain {
	const f = IPv4Family
	return Chain{Name: chainUnowned, Rules: []Rule{
		rule(f, isEthernet(), etherSource(setEdges), count(Unknown), drop()),
		// Another host thinks that the port is ours: it has an older or a newer map.
		rule(f, count(SecondHand), drop()),
	}}
}

// outbound lets out what source NAT will translate and tells the VM about everything else.
func (b *builder) outbound() Chain {
	const f = IPv4Family
	return Chain{Name: chainOutbound, Rules: []Rule{
		// No edge is left.
		rule(f, nexthopIs(b.t.Nowhere.IPv4), count(Unreachable), rejectHostUnreachable()),
		// Translation is decided with a flow's first packet. This flow began without: its destination was inside then.
		rule(f, ctConfirmed(), count(Untranslated), drop()),
		// Routers must not forward link-local addresses (RFC 3927 section 7); behind an edge, they may be its own machine's.
		rule(f, destinationIn(linkLocal), count(Refused), rejectProhibited()),
		rule(f, destinationIn(b.t.Overlay), count(Refused), rejectProhibited()),
		// Options such as record route would carry addresses of the inside out (RFC 791 section 3.1).
		rule(f, hasOptions(), count(Refused), rejectProhibited()),
		rule(f, source(setSources), protocol(setPorted), accept()),
		rule(f, all(source(setSources), icmp("echo-request", icmpEchoRequest), accept())...),
		rule(f, count(Refused), rejectProhibited()),
	}}
}

// output keeps what this namespace itself says to the outside inside, unless it is an ICMP error about a translated flow,
// which conntrack gives the public address.
func (b *builder) output() Chain {
	const f = IPv4Family
	return Chain{
		Name: chainOutput, Base: &Base{Type: "filter", Hook: Output, Priority: priorityFilter},
		Rules: []Rule{
			rule(f, ctTranslated(), accept()),
			// A redirected datagram, whose owner may be an edge as well.
			rule(f, ctState("untracked", stateUntracked), accept()),
			rule(f, destinationNot(setInside), count(OwnTraffic), drop()),
		},
	}
}

// sourceNAT gives a new flow that leaves a public address and a port.
func (b *builder) sourceNAT() Chain {
	const f = IPv4Family
	c := Chain{Name: chainSourceNAT, Base: &Base{Type: "nat", Hook: Postrouting, Priority: prioritySourceNAT}}
	leaves := all(destinationNot(setInside))
	if b.t.NAT.PerInterface {
		c.Rules = append(c.Rules,
			rule(f, all(leaves, snatBySource(mapBlocks))...),
			rule(f, all(leaves, snatBySourceAndSlot(mapOwnSlots))...))
	} else {
		c.Rules = append(c.Rules, rule(f, all(leaves, source(setSources), snatBySlot(mapSlots))...))
	}
	c.Rules = append(c.Rules, rule(f, all(leaves, count(NoBlock), drop())...))
	return c
}

// transit keeps other hosts' translated flows, which pass an edge, out of this host's conntrack.
func (b *builder) transit() Chain {
	const f = IPv4Family
	return Chain{
		Name: chainTransit, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityRaw},
		Rules: []Rule{rule(f, inDevice(b.vx), source(setPublics), notrack())},
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

// hypervisorIPv6 lets VMs of the tenant talk to each other; nothing leaves to the outside and nothing comes from there.
func (b *builder) hypervisorIPv6() Table {
	const f = IPv6Family
	t := b.eastWest(f)
	if b.t.Edge {
		forward := &t.Chains[0]
		forward.Rules = append(forward.Rules, rule(f, inDevice(topology.UplinkDevice), count(Unsolicited), drop()))
	}
	return t
}

// eastWest is the table of a family in which VMs of the tenant talk to each other alone.
func (b *builder) eastWest(f Family) Table {
	reject, from, to := rejectHostUnreachable(), sourceNot(setInside), destinationNot(setInside)
	if f == IPv6Family {
		reject, from, to = rejectHostUnreachable6(), sourceNot6(setInside), destinationNot6(setInside)
	}
	return Table{
		Family: f, Counters: []Counter{Bounced, Unreachable, Unsolicited}, Sets: []Set{b.inside(f)},
		Chains: []Chain{{
			Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter},
			Rules: []Rule{
				rule(f, clampMSS()...),
				rule(f, inDevice(b.vx), outDevice(b.vx), count(Bounced), drop()),
				// There is no way outside: the default route, if there is one, is for proxy ARP.
				rule(f, to, count(Unreachable), reject),
				rule(f, inDevice(b.vx), from, count(Unsolicited), drop()),
			},
		}},
	}
}
