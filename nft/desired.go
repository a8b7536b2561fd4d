package nft

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// The counters. docs/ruleset.md says of each when it grows and what to do then.
var (
	Redirected     = Counter{"redirected"}
	Reassembled    = Counter{"reassembled"}
	Stranger       = Counter{"stranger"}
	Unknown        = Counter{"unknown"}
	SecondHand     = Counter{"second_hand"}
	Bounced        = Counter{"bounced"}
	Invalid        = Counter{"invalid"}
	Unsolicited    = Counter{"unsolicited"}
	Refused        = Counter{"refused"}
	Untranslated   = Counter{"untranslated"}
	NoBlock        = Counter{"no_block"}
	OwnTraffic     = Counter{"own_traffic"}
	ForeignSource  = Counter{"foreign_source"}
	NotForwardable = Counter{"not_forwardable"}
	Unreachable    = Counter{"unreachable"}
)

// Names of sets and maps.
const (
	setRouters    = "routers"      // the router MACs of all hosts that hold the tenant
	setEdges      = "edges"        // the MACs that edges send from
	setEdgeVMs    = "edge_vms"     // private addresses of VMs that run on an edge
	setPublics    = "publics"      // the tenant's public addresses
	setGateways   = "gateways"     // the next hops that lead outside
	setSources    = "sources"      // private addresses that may leave through the NAT gateway
	setInside     = "inside"       // private addresses that are never outside, though they may have no route
	setPorted     = "ported"       // protocols whose header begins with two ports
	setICMPErrors = "icmp_errors"  // ICMP types that carry the packet they are about
	mapOwners     = "owners"       // other hosts' blocks
	mapBlocks     = "blocks"       // sources with one block
	mapSlots      = "slots"        // blocks that all sources share
	mapOwnSlots   = "source_slots" // sources with several blocks of their own
)

// Names of chains.
const (
	chainIngress    = "ingress"
	chainFromUplink = "uplink"
	chainFromEdge   = "from_edge"
	chainFragments  = "fragments"
	chainToOwner    = "to_owner"
	chainForward    = "forward"
	chainUnowned    = "unowned"
	chainOutbound   = "outbound"
	chainOutput     = "output"
	chainSourceNAT  = "srcnat"
	chainTransit    = "transit"
)

// Priorities of hooks (enum nf_ip_hook_priorities, linux/netfilter_ipv4.h). Conntrack puts fragments together at -400 and
// looks packets up at -200.
const (
	priorityRaw         = -300
	priorityReassembled = priorityRaw + 10
	priorityFilter      = 0
	prioritySourceNAT   = 100
)

// forwarding computes the tables that lead packets; [Desired] adds what they are checked for.
func forwarding(t topology.Tenant) []Table {
	b := builder{t: t, vx: t.Device()}
	switch {
	case !t.Hypervisor:
		return []Table{b.netdev(), b.edgeIPv4(), b.edgeIPv6()}
	case t.NAT == nil:
		return []Table{b.netdev(), b.eastWest(IPv4Family), b.eastWest(IPv6Family)}
	default:
		return []Table{b.netdev(), b.hypervisorIPv4(), b.hypervisorIPv6()}
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
	for _, a := range b.t.NAT.Addresses {
		s.Elements[key(a)] = ""
	}
	return s
}

// gateways are the next hops of the default route.
func (b *builder) gateways() Set {
	if b.t.Edge {
		return set(setGateways, Type{IPv4}, Value{}.addr(topology.UplinkHost))
	}
	s := set(setGateways, Type{IPv4})
	for _, p := range b.t.Peers {
		if p.Edge {
			s.Elements[key(p.IPv4)] = ""
		}
	}
	return s
}

// edgeVMs are the VMs on hosts that are edges too. Neither the next hop nor the sender's MAC tells their traffic from that
// with the outside.
func (b *builder) edgeVMs(f Family) Set {
	s := set(setEdgeVMs, Type{IPv4})
	if f == IPv6Family {
		s = set(setEdgeVMs, Type{IPv6})
	}
	for _, r := range b.t.Remote {
		if r.Peer.Edge && r.Address.Is4() == (f == IPv4Family) {
			s.Elements[key(r.Address)] = ""
		}
	}
	return s
}

// inside are the VMs of this host, whose devices may be missing, and of hosts that are down. Their addresses have no route
// then, and would take the default route.
func (b *builder) inside() Set {
	s := set(setInside, Type{IPv4})
	add := func(a netip.Addr) {
		if a.Is4() {
			s.Elements[key(a)] = ""
		}
	}
	for _, i := range b.t.Interfaces {
		for _, a := range i.Addresses {
			add(a)
		}
	}
	for _, a := range b.t.Unreachable {
		add(a)
	}
	return s
}

func ported() Set {
	return set(setPorted, Type{Protocol}, Value{unix.IPPROTO_TCP}, Value{unix.IPPROTO_UDP}, Value{unix.IPPROTO_SCTP})
}

// key is the key of an address in a set of addresses.
func key(a netip.Addr) string { return string(Value{}.addr(a)) }
