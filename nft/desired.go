package nft

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// The counters. What each means stands in docs/packet-walks.md.
var (
	Redirected     = Counter{"redirected"}
	Stranger       = Counter{"stranger"}
	Unknown        = Counter{"unknown"}
	SecondHand     = Counter{"second_hand"}
	Bounced        = Counter{"bounced"}
	Invalid        = Counter{"invalid"}
	Unsolicited    = Counter{"unsolicited"}
	Refused        = Counter{"refused"}
	NoBlock        = Counter{"no_block"}
	OwnTraffic     = Counter{"own_traffic"}
	ForeignSource  = Counter{"foreign_source"}
	NotForwardable = Counter{"not_forwardable"}
)

// Names of sets and maps.
const (
	setRouters    = "routers"     // the router MACs of all hosts that hold the tenant
	setEdges      = "edges"       // the MACs that edges send from
	setPublics    = "publics"     // the tenant's public addresses
	setGateways   = "gateways"    // the next hops that lead outside
	setSources    = "sources"     // private addresses that may leave through the NAT gateway
	setPorted     = "ported"      // protocols whose header begins with two ports
	setICMPErrors = "icmp_errors" // ICMP types that carry the packet they are about
	mapOwners     = "owners"      // other hosts' blocks
	mapBlocks     = "blocks"      // sources with one block
	mapSlots      = "slots"       // sources with several blocks
)

// Names of chains.
const (
	chainFromEdge   = "from_edge"
	chainUnowned    = "unowned"
	chainOutbound   = "outbound"
	chainForward    = "forward"
	chainOutput     = "output"
	chainSourceNAT  = "srcnat"
	chainTransit    = "transit"
	chainIngress    = "ingress"
	chainFromUplink = "uplink"
)

// Priorities of hooks (enum nf_ip_hook_priorities, linux/netfilter_ipv4.h).
const (
	priorityRaw       = -300
	priorityFilter    = 0
	prioritySourceNAT = 100
)

// Desired computes the tables of a tenant's namespace.
func Desired(t topology.Tenant) []Table {
	b := builder{t: t, vx: t.Device()}
	switch {
	case t.Hypervisor:
		return []Table{b.netdev(), b.hypervisorIPv4(), b.hypervisorIPv6()}
	default:
		return []Table{b.netdev(), b.edgeIPv4(), b.edgeIPv6()}
	}
}

// builder writes the tables of one tenant.
type builder struct {
	t  topology.Tenant
	vx string
}

// set makes a set of values.
func set(name string, key Type, values ...Value) Set {
	s := Set{Name: name, Key: key, Elements: make(map[string]string, len(values))}
	for _, v := range values {
		s.Elements[string(v)] = ""
	}
	return s
}

func (b *builder) routers() Set {
	s := set(setRouters, Type{MAC})
	for _, p := range b.t.Peers {
		s.Elements[string(Value{}.mac(p.MAC))] = ""
	}
	return s
}

// edges are the senders whose packets come straight from outside.
func (b *builder) edges() Set {
	s := set(setEdges, Type{MAC})
	for _, p := range b.t.Peers {
		if p.Edge {
			s.Elements[string(Value{}.mac(p.MAC))] = ""
		}
	}
	if b.t.Edge {
		s.Elements[string(Value{}.mac(topology.UplinkHostMAC))] = ""
	}
	return s
}

func (b *builder) publics() Set {
	s := set(setPublics, Type{IPv4})
	if b.t.NAT != nil {
		for _, a := range b.t.NAT.Addresses {
			s.Elements[string(Value{}.addr(a))] = ""
		}
	}
	return s
}

// gateways are the next hops of the routes that lead outside.
func (b *builder) gateways() Set {
	s := set(setGateways, Type{IPv4})
	for _, p := range b.t.Peers {
		if p.Edge {
			s.Elements[string(Value{}.addr(p.IPv4))] = ""
		}
	}
	if b.t.Edge {
		s.Elements[string(Value{}.addr(topology.UplinkHost))] = ""
	}
	return s
}

func ported() Set {
	return set(setPorted, Type{Protocol}, Value{unix.IPPROTO_TCP}, Value{unix.IPPROTO_UDP}, Value{unix.IPPROTO_SCTP})
}

// netdev is the table that sees frames before the network stack does.
//
// It answers two questions about a frame from the overlay. Is it from a host that holds the tenant? And, if an edge sent it:
// is another host the owner of the port it is for? Such a frame is sent on at once, without a route and without a conntrack
// entry. Only what comes from an edge is redirected: two hosts whose maps differ can never bounce a packet between them.
func (b *builder) netdev() Table {
	const f = NetdevFamily
	redirects := b.t.Hypervisor && b.t.NAT != nil
	t := Table{Family: f, Counters: []Counter{Stranger}, Sets: []Set{b.routers()}}
	ingress := Chain{
		Name: chainIngress, Base: &Base{Type: "filter", Hook: Ingress, Device: b.vx, Priority: priorityFilter},
		Rules: []Rule{
			// Whoever can send to our VXLAN port, but is no host of this tenant, gets nothing in.
			rule(f, isEthernet(), etherSourceNot(setRouters), count(Stranger), drop()),
		},
	}
	if redirects {
		t.Counters = append(t.Counters, Redirected)
		t.Sets = append(t.Sets, b.edges(), ported(),
			set(setICMPErrors, Type{ICMPType}, Value{3}, Value{11}, Value{12}), b.owners())
		ingress.Rules = append(ingress.Rules,
			// Fragments have no ports: conntrack puts them together first.
			rule(f, isEthernet(), etherSource(setEdges), isIPv4(), whole(), jump(chainFromEdge)))
		t.Chains = append(t.Chains, b.fromEdge())
	}
	t.Chains = append(t.Chains, ingress)
	if redirects && b.t.Edge {
		// On an edge that is a hypervisor too, packets from outside come by the uplink.
		t.Chains = append(t.Chains, Chain{
			Name: chainFromUplink, Base: &Base{Type: "filter", Hook: Ingress, Device: topology.UplinkDevice, Priority: priorityFilter},
			Rules: []Rule{rule(f, isIPv4(), whole(), jump(chainFromEdge))},
		})
	}
	return t
}

// fromEdge finds the owner of a packet by the port that it is for.
func (b *builder) fromEdge() Chain {
	const f = NetdevFamily
	return Chain{Name: chainFromEdge, Rules: []Rule{
		rule(f, isIPv4(), protocol(setPorted), redirect("th dport & 65472", 2, mapOwners, Redirected, b.vx)),
		// Source NAT keeps the identifiers of echo requests in the block as well.
		rule(f, all(isIPv4(), icmp("echo-reply", 0), redirect("icmp id & 65472", 4, mapOwners, Redirected, b.vx))...),
		// An error carries the header of the packet it is about, which we sent: with a header of 20 bytes, its source port
		// follows 28 bytes after the ICMP header begins, an echo identifier 32.
		rule(f, all(isIPv4(), icmpIn(setICMPErrors), raw(8, 0x45), rawIn(17, setPorted), redirect("@th,224,16 & 0xffc0", 28, mapOwners, Redirected, b.vx))...),
		rule(f, all(isIPv4(), icmpIn(setICMPErrors), raw(8, 0x45), raw(17, unix.IPPROTO_ICMP), raw(28, 8), redirect("@th,256,16 & 0xffc0", 32, mapOwners, Redirected, b.vx))...),
	}}
}

// owners maps every granule of other hosts' blocks to the owner's overlay address. Our own are left out: a miss means
// "mine", and is cheap to be wrong about, because conntrack has the last word.
func (b *builder) owners() Set {
	s := Set{Name: mapOwners, Key: Type{IPv4, Port}, Data: Type{IPv4}, Elements: make(map[string]string)}
	for _, o := range b.t.NAT.Owners {
		to := string(Value{}.addr(o.Peer.IPv4))
		for port := int(o.Block.First); port <= int(o.Block.Last); port += portmap.Granule {
			s.Elements[string(Value{}.addr(o.Block.Address).port(uint16(port)))] = to
		}
	}
	return s
}

// hypervisorIPv6 lets VMs of the tenant talk to each other; nothing leaves to the outside.
func (b *builder) hypervisorIPv6() Table {
	const f = IPv6Family
	t := Table{Family: f, Counters: []Counter{Bounced, Unsolicited}, Sets: []Set{b.edges()}}
	forward := Chain{Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter}}
	forward.Rules = append(forward.Rules,
		rule(f, clampMSS()...),
		rule(f, inDevice(b.vx), outDevice(b.vx), count(Bounced), drop()),
		rule(f, isEthernet(), inDevice(b.vx), etherSource(setEdges), count(Unsolicited), drop()))
	t.Chains = []Chain{forward}
	return t
}

// edgeIPv4 lets the tenant's public addresses through, and nothing else.
func (b *builder) edgeIPv4() Table {
	const f = IPv4Family
	return Table{
		Family: f, Counters: []Counter{ForeignSource, NotForwardable, OwnTraffic}, Sets: []Set{b.publics()},
		Chains: []Chain{
			{
				Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter, Drop: true},
				Rules: []Rule{
					rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), source(setPublics), accept()),
					rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), count(ForeignSource), drop()),
					rule(f, inDevice(topology.UplinkDevice), outDevice(b.vx), destination(setPublics), accept()),
					rule(f, count(NotForwardable), drop()),
				},
			},
			b.ownTraffic(),
		},
	}
}

// ownTraffic keeps what this namespace itself would say to the outside (its addresses are overlay addresses) inside.
func (b *builder) ownTraffic() Chain {
	const f = IPv4Family
	return Chain{
		Name: chainOutput, Base: &Base{Type: "filter", Hook: Output, Priority: priorityFilter},
		Rules: []Rule{rule(f, outDevice(topology.UplinkDevice), count(OwnTraffic), drop())},
	}
}

// edgeIPv6 forwards nothing: no tenant has public IPv6 addresses behind a NAT gateway.
func (b *builder) edgeIPv6() Table {
	return Table{
		Family: IPv6Family, Counters: []Counter{NotForwardable},
		Chains: []Chain{{
			Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter, Drop: true},
			Rules: []Rule{rule(IPv6Family, count(NotForwardable), drop())},
		}},
	}
}

// sortedTables orders tables by family, for printing and comparing.
func sortedTables(tables []Table) []Table {
	return slices.SortedFunc(slices.Values(tables), func(a, b Table) int { return int(a.Family) - int(b.Family) })
}
