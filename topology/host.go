package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// Host is what one host must hold.
type Host struct {
	Name     string
	Underlay netip.Addr
	// Port is the UDP destination port of the VXLAN encapsulation.
	Port uint16
	// Uplink is the device towards the outside world, empty on a host that is no edge.
	Uplink string
	// Underlays are the underlay addresses of the fleet's other hosts that are up, sorted.
	Underlays []netip.Addr
	// Tenants are sorted by name.
	Tenants []Tenant
}

// Tenant is one tenant on the host.
type Tenant struct {
	Name string
	VNI  config.VNI
	// Hypervisor is true where VMs of the tenant run, Edge where its public traffic comes and goes, Balancer where its load
	// balancers' nodes are. All may be true.
	Hypervisor, Edge, Balancer bool
	// Self is this host, Peers are the others that hold the tenant and are up, by id.
	Self  Peer
	Peers []Peer
	// Nowhere has the overlay address and the MAC of no host (id 0): the next hop of what has no other. Nothing arrives there.
	Nowhere Peer
	// Overlay has the prefixes of the hosts' overlay addresses.
	Overlay config.Overlay
	// Interfaces are the VMs' NICs on this host, in the fleet's order.
	Interfaces []config.Interface
	// Remote holds the private addresses of VMs elsewhere, in the fleet's order.
	Remote []Remote
	// Unreachable are the private addresses of VMs on hosts that are down: nowhere, and not outside either.
	Unreachable []netip.Addr
	// Timeouts are those of connection tracking; zero means the default.
	Timeouts config.Timeouts
	// MaxEntries is how many entries connection tracking may have; zero stands for the kernel's own maximum.
	MaxEntries int
	// NAT is nil for a tenant without a NAT gateway.
	NAT *NAT
	// VIPs are all of the tenant's virtual IPs of both families, in the fleet's order.
	VIPs []VIP
	// Balancers are all of the tenant's load balancers, in the fleet's order.
	Balancers []Balancer
	// LastBackend is the highest sequence number that a backend of the tenant has or had. Those up to it that are no backends now
	// have been, higher ones are still to come.
	LastBackend uint32
}

// Namespace is the name of the tenant's network namespace.
func (t Tenant) Namespace() string { return NamespacePrefix + t.Name }

// Device is the name of the tenant's VXLAN device, in the tenant's namespace.
func (t Tenant) Device() string { return fmt.Sprintf("vx%d", t.VNI) }

// UplinkPort is the name of the host's end of the link between an edge and its tenant namespace.
func (t Tenant) UplinkPort() string { return fmt.Sprintf("cv%d", t.VNI) }

// NamespacePrefix begins the name of every tenant namespace.
const NamespacePrefix = "culvert-"

// Peer is a host as the others see it inside a VNI.
type Peer struct {
	Host       string
	ID         portmap.HostID
	Underlay   netip.Addr
	MAC        config.MAC
	IPv4, IPv6 netip.Addr
	// Hypervisor, Edge and Balancer say what the peer does for this tenant.
	Hypervisor, Edge, Balancer bool
	// Lost is true if nothing is heard of the peer. It may be alive, so what is for it alone still goes there.
	Lost bool
}

// Present are the peers that one may be chosen of for what any can do: those that are not lost, or all if all are.
func Present(peers []Peer) []Peer {
	out := slices.DeleteFunc(slices.Clone(peers), func(p Peer) bool { return p.Lost })
	if len(out) == 0 {
		return peers
	}
	return out
}

// Overlay is the peer's overlay address of the family that reaches addr.
func (p Peer) Overlay(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return p.IPv4
	}
	return p.IPv6
}

// Remote is a private address that lives on another host.
type Remote struct {
	Address netip.Addr
	Peer    Peer
}

// NAT is the tenant's NAT gateway as this host plays it.
type NAT struct {
	// Addresses are the tenant's public addresses, in the fleet's order.
	Addresses []netip.Addr
	// PerInterface is true if every interface has blocks of its own; otherwise the host's sources share the same.
	PerInterface bool
	// Sources are the private IPv4 addresses of this host's interfaces that have ports to leave from, those with a VIP left out.
	Sources []Source
	// Owners are the blocks that other hosts answer for, retired ones included.
	Owners []Owner
	// Freed are blocks that were given up: no flow of this host uses them.
	Freed []portmap.Block
	// Exempt are the destinations that sources reach without translation.
	Exempt []netip.Prefix
	// Exempted are, on an edge of a tenant with such destinations, the sources on other hosts that are up.
	Exempted []Remote
}

// Source is a private address and the blocks its new flows leave from, all of one public address.
type Source struct {
	Address netip.Addr
	Blocks  []portmap.Block
}

// Owner says which host answers for a block.
type Owner struct {
	Block portmap.Block
	Peer  Peer
}
