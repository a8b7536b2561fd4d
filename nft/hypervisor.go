package nft

import (
	"net/netip"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Bits of `ct state` (linux/netfilter/nf_conntrack_common.h, NF_CT_STATE_BIT).
const (
	ctInvalid     = 1 << 0
	ctEstablished = 1 << 1
	ctRelated     = 1 << 2
)

// hypervisorIPv4 is the table of a host that runs VMs of the tenant.
//
// Forwarding: what belongs to a translated flow passes; what leaves for the outside must have a source and a protocol that
// can be translated; VMs of the tenant talk to each other. Nothing private gets out, whatever conntrack thinks of it.
// Source NAT: a new flow that leaves takes a port of its source's block.
func (b *builder) hypervisorIPv4() Table {
	t := Table{
		Family:   IPv4Family,
		Counters: []Counter{Unknown, SecondHand, Bounced, Invalid, Unsolicited, Refused, NoBlock, OwnTraffic},
		Sets:     []Set{b.edges(), b.publics(), b.gateways()},
	}
	t.Chains = []Chain{b.unowned(), b.outbound(), b.forward(), b.output()}
	if b.t.NAT != nil {
		t.Sets = append(t.Sets, b.sources(), ported())
		t.Sets = append(t.Sets, b.blocks()...)
		t.Chains = append(t.Chains, b.sourceNAT())
	}
	if b.t.NAT == nil {
		t.Sets = append(t.Sets, set(setSources, Type{IPv4}), ported())
	}
	if b.t.Edge {
		t.Chains = append(t.Chains, b.transit())
	}
	return t
}

func (b *builder) forward() Chain {
	const f = IPv4Family
	c := Chain{Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter}}
	c.Rules = append(c.Rules,
		rule(f, clampMSS()...),
		rule(f, ctState("established,related", ctEstablished|ctRelated), ctSourceTranslated(), accept()))
	if b.t.Edge {
		c.Rules = append(c.Rules,
			// Other hosts' flows on their way out.
			rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), source(setPublics), accept()),
			rule(f, inDevice(topology.UplinkDevice), goTo(chainUnowned)))
	}
	c.Rules = append(c.Rules,
		// Conntrack has no entry for it, or it would not be for a public address any more.
		rule(f, inDevice(b.vx), destination(setPublics), goTo(chainUnowned)),
		// An invalid packet passes NAT by: it would leave with its private address.
		rule(f, ctState("invalid", ctInvalid), count(Invalid), drop()),
		// Nobody sends a packet for a VM to a host that does not have the VM, unless the maps are of different ages.
		rule(f, inDevice(b.vx), outDevice(b.vx), count(Bounced), drop()),
		rule(f, nexthop(setGateways), goTo(chainOutbound)),
		rule(f, isEthernet(), inDevice(b.vx), etherSource(setEdges), count(Unsolicited), drop()))
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

// outbound lets out what source NAT can translate and tells the VM about everything else.
func (b *builder) outbound() Chain {
	const f = IPv4Family
	return Chain{Name: chainOutbound, Rules: []Rule{
		rule(f, source(setSources), protocol(setPorted), accept()),
		rule(f, all(source(setSources), icmp("echo-request", 8), accept())...),
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
			rule(f, nexthop(setGateways), ctSourceTranslated(), accept()),
			rule(f, nexthop(setGateways), count(OwnTraffic), drop()),
		},
	}
}

// sourceNAT gives a new flow that leaves a public address and a port.
func (b *builder) sourceNAT() Chain {
	const f = IPv4Family
	c := Chain{Name: chainSourceNAT, Base: &Base{Type: "nat", Hook: Postrouting, Priority: prioritySourceNAT}}
	if b.t.NAT.PerInterface {
		c.Rules = append(c.Rules,
			rule(f, nexthop(setGateways), snatBySource(mapBlocks)),
			rule(f, nexthop(setGateways), snatBySourceAndSlot(mapSlots)))
	} else {
		c.Rules = append(c.Rules, rule(f, nexthop(setGateways), source(setSources), snatBySlot(mapSlots)))
	}
	c.Rules = append(c.Rules, rule(f, nexthop(setGateways), count(NoBlock), drop()))
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
		s.Elements[string(Value{}.addr(src.Address))] = ""
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
	slots := Set{Name: mapSlots, Key: Type{IPv4, Slot}, Data: data, Range: true, Elements: make(map[string]string)}
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

func key(a netip.Addr) string { return string(Value{}.addr(a)) }
