package measure

import (
	"net/netip"
	"time"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/portmap"
)

// Reading is what a host's tenants used at one time. It is shared: nobody changes it.
type Reading struct {
	// At is when it was complete, Took how long it took.
	At   time.Time
	Took time.Duration
	// Guard are the counters of the host's own namespace, by table family and name; GuardErr is why they could not be read.
	Guard    map[string]nft.Count
	GuardErr error
	// Tenants are sorted by name.
	Tenants []Tenant
}

// Tenant returns the reading of one tenant; false if there is none.
func (r *Reading) Tenant(name string) (Tenant, bool) {
	for _, t := range r.Tenants {
		if t.Name == name {
			return t, true
		}
	}
	return Tenant{}, false
}

// Tenant is what one tenant used.
type Tenant struct {
	Name string
	// Err is why it could not be read, or not wholly; what was read is there.
	Err error
	// Counters are by table family and name, as in "ip/exhausted"; conntrack's own are "conntrack/insert_failed" and
	// "conntrack/drop".
	Counters map[string]nft.Count
	// ByPeer are the parts of counters that are other hosts', by counter and name of the host ([nft.Conn.CountersByPeer]).
	ByPeer map[string]map[string]nft.Count
	// Entries is the number of conntrack entries, Limit how many there may be: the tenant's maximum, or else the kernel's.
	Entries, Limit int
	// Claims are the ports of those claimants that are this host's, by claimant and address.
	Claims []Claim
	// Fill says for each public address of the claims how many ports of each granule of 64, counted from port 0, are used by the
	// protocol that uses most.
	Fill map[netip.Addr]*[Granules]uint8
	// Services are IPVS's, in the kernel's order.
	Services []ipvs.ServiceCount
}

// Granules is how many granules of ports an address has, the first 16 of which are never handed out.
const Granules = 65536 / portmap.Granule

// Claim is what a claimant has of one public address, and what it used of it.
type Claim struct {
	Claimant portmap.Claimant
	Address  netip.Addr
	// Ports is the number of ports for new flows, Retired of those that only end flows.
	Ports, Retired int
	// Used are by protocol.
	Used map[Protocol]Use
}

// Use is how much of a claim flows of one protocol used.
type Use struct {
	// Ports and Retired are the numbers of ports with a flow.
	Ports, Retired int
	// Flows is the number of flows on all of them: towards different destinations they may share a port.
	Flows int
}

// Protocol is a transport protocol.
type Protocol string

// The protocols that NAT gateways translate by ports, or for ICMP by identifiers.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
	SCTP Protocol = "sctp"
)

// Protocols are all of them, in the order of tables.
var Protocols = []Protocol{TCP, UDP, ICMP, SCTP}

// Peak is the largest number of ports for new flows that one protocol used.
func (c Claim) Peak() int {
	peak := 0
	for _, u := range c.Used {
		peak = max(peak, u.Ports)
	}
	return peak
}
