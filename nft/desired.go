package nft

import (
	"net/netip"
	"slices"

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
	setEdges      = "edges"        // the MACs that packets from outside come from
	setPublics    = "publics"      // the tenant's public addresses
	setSources    = "sources"      // private addresses that may leave through the NAT gateway
	setInside     = "inside"       // the tenant's own addresses: VMs and hosts
	setPorted     = "ported"       // protocols whose header begins with two ports
	setICMPErrors = "icmp_errors"  // ICMP types that carry the packet they are about
	mapOwners     = "owners"       // other hosts' blocks
	setFreed      = "freed"        // blocks that were given up
	mapBlocks     = "blocks"       // sources with one block
	mapSlots      = "slots"        // blocks that all sources share
	mapOwnSlots   = "source_slots" // sources with several blocks of their own
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
	chainSendOn     = "send_on"
	chainSendOn6    = "send_on6"
	chainSendWhole  = "send_whole"
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
	chainDestNAT    = "dstnat"
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
	tables := forwarding(t)
	if !t.Hypervisor {
		return tables
	}
	b := builder{t: t, vx: t.Device()}
	for i := range tables {
		switch tables[i].Family {
		case IPv4Family:
			b.spoofing(&tables[i])
			b.addForged(&tables[i])
		case IPv6Family:
			b.spoofing6(&tables[i])
			b.addForged(&tables[i])
		}
	}
	tables = append(tables, b.arp())
	if t.MaxEntries > 0 {
		tables = append(tables, b.maximum())
	}
	return tables
}

// forwarding computes the tables that lead packets; [Desired] adds what they are checked for.
func forwarding(t topology.Tenant) []Table {
	b := builder{t: t, vx: t.Device()}
	return []Table{b.netdev(), b.table(IPv4Family), b.table(IPv6Family)}
}

// table is what the host needs in a family.
func (b *builder) table(f Family) Table {
	public := len(b.t.Publics(f == IPv4Family)) > 0
	switch {
	case !b.t.Hypervisor && b.balances(f):
		return b.node(f)
	case !b.t.Hypervisor && b.t.Edge && public:
		return b.edge(f)
	case !b.t.Hypervisor:
		return b.shut(f)
	case public:
		return b.hypervisor(f)
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

// edges are the senders whose packets come straight from outside. An edge that is a hypervisor or a node too has looked the owner
// up before it sends: two such hosts with different maps would bounce a packet between them.
func (b *builder) edges() Set {
	s := b.overlayEdges()
	if b.t.Edge {
		s.Elements[string(Value{}.mac(topology.UplinkHostMAC))] = ""
	}
	return s
}

// overlayEdges are those that send from the overlay: each is in routers too.
func (b *builder) overlayEdges() Set {
	s := set(setEdges, Type{MAC})
	for _, p := range b.t.Peers {
		if p.Edge && !p.Hypervisor && !p.Balancer {
			s.Elements[string(Value{}.mac(p.MAC))] = ""
		}
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

// inside are the tenant's own addresses: its VMs', wherever they run and whether or not they are there, and its hosts' overlay
// addresses, which ICMP errors come from. Everything else is outside. The rules decide by this set alone: routes may change a
// moment earlier or later, or be lost.
func (b *builder) inside(f Family) Set {
	s := set(setInside, f.address())
	add := func(addrs ...netip.Addr) {
		for _, a := range addrs {
			if a.Is4() == (f == IPv4Family) {
				s.Elements[key(a)] = ""
			}
		}
	}
	for _, i := range b.t.Interfaces {
		add(i.Addresses...)
	}
	for _, r := range b.t.Remote {
		add(r.Address)
	}
	add(b.t.Unreachable...)
	for _, p := range slices.Concat(b.t.Peers, []topology.Peer{b.t.Self}) {
		add(p.IPv4, p.IPv6)
	}
	return s
}

func ported() Set {
	return set(setPorted, Type{Protocol}, Value{unix.IPPROTO_TCP}, Value{unix.IPPROTO_UDP}, Value{unix.IPPROTO_SCTP})
}

// key is the key of an address in a set of addresses.
func key(a netip.Addr) string { return string(Value{}.addr(a)) }
