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
	Private        = Counter{"private"}
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
	setVMs        = "vms"          // the private addresses of all VMs of the tenant
	setVIPVMs     = "vip_vms"      // private addresses of this host's VMs that have one VIP
	setShared     = "shared"       // private addresses of this host's VMs that have several
	mapVIPIn      = "vip_in"       // VIPs of this host's VMs, and what they stand for
	mapVIPOut     = "vip_out"      // the reverse
	mapSharedIn   = "shared_in"    // VIPs that share a private address with others
	mapSharedOut  = "shared_out"   // the VIP that new flows of such an address leave from
	mapVIPOwners  = "vip_owners"   // other hosts' VIPs
	mapVIPOwners6 = "vip_owners6"
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
	chainVIP        = "vip"
	chainToVIP      = "to_vip"
	chainFromVIP    = "from_vip"
	chainShared     = "dstnat"
)

// Priorities of hooks (enum nf_ip_hook_priorities, linux/netfilter_ipv4.h). Conntrack puts fragments together at -400 and
// looks packets up at -200.
const (
	priorityVIP         = priorityRaw - 10
	priorityRaw         = -300
	priorityReassembled = priorityRaw + 10
	priorityDestNAT     = -100
	priorityFilter      = 0
	prioritySourceNAT   = 100
	priorityVIPSource   = prioritySourceNAT + 10
)

// Desired computes the tables of a tenant's namespace.
func Desired(t topology.Tenant) []Table {
	b := builder{t: t, vx: t.Device()}
	return []Table{b.netdev(), b.table(IPv4Family), b.table(IPv6Family)}
}

// table is what the host needs in a family.
func (b *builder) table(f Family) Table {
	public := len(b.t.Publics(f == IPv4Family)) > 0
	switch {
	case !b.t.Hypervisor && public:
		return b.edge(f)
	case !b.t.Hypervisor:
		return b.shut(f)
	case public:
		return b.hypervisor(f)
	case b.t.NAT != nil || len(b.t.VIPs) > 0:
		return b.closed(f)
	}
	return b.eastWest(f)
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

func (b *builder) publics(f Family) Set {
	s := set(setPublics, f.address())
	for _, a := range b.t.Publics(f == IPv4Family) {
		s.Elements[key(a)] = ""
	}
	return s
}

// gateways are the next hops of the default route.
func (b *builder) gateways(f Family) Set {
	s := set(setGateways, f.address())
	if b.t.Edge {
		to := topology.UplinkHost
		if f == IPv6Family {
			to = topology.UplinkHost6
		}
		s.Elements[key(to)] = ""
		return s
	}
	for _, p := range b.t.Peers {
		switch {
		case !p.Edge:
		case f == IPv4Family:
			s.Elements[key(p.IPv4)] = ""
		default:
			s.Elements[key(p.IPv6)] = ""
		}
	}
	return s
}

// edgeVMs are the VMs on hosts that are edges too. Neither the next hop nor the sender's MAC tells their traffic from that
// with the outside.
func (b *builder) edgeVMs(f Family) Set {
	s := set(setEdgeVMs, f.address())
	for _, r := range b.t.Remote {
		if r.Peer.Edge && r.Address.Is4() == (f == IPv4Family) {
			s.Elements[key(r.Address)] = ""
		}
	}
	return s
}

// inside are the VMs of this host, whose devices may be missing, and of hosts that are down. Their addresses have no route
// then, and would take the default route.
func (b *builder) inside(f Family) Set {
	s := set(setInside, f.address())
	add := func(a netip.Addr) {
		if a.Is4() == (f == IPv4Family) {
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
