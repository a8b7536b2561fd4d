package overlay

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/config"
)

// Address is an address on a device.
type Address struct {
	Device string
	Prefix netip.Prefix
	late   bool
}

// Neighbour is a permanent neighbour entry.
type Neighbour struct {
	Device string
	IP     netip.Addr
	MAC    config.MAC
	port   bool
}

// FDB is a static forwarding entry of a VXLAN device: which underlay address a MAC is behind.
type FDB struct {
	Device string
	MAC    config.MAC
	Dst    netip.Addr
}

// Route is a route of protocol [Protocol] in the main table; more than one hop share by a hash of the addresses.
type Route struct {
	Dst  netip.Prefix
	Hops []Hop
	late bool
	// early is a way to an address that is a gateway of others: of IPv6, the kernel takes no gateway that is behind another device than
	// the route's (ip6_route_check_nh_onlink).
	early bool
}

// Hop is a next hop; a route without a gateway is on-link.
type Hop struct {
	Via    netip.Addr
	Device string
	// weight is that of an observed hop if it is not 1, that of every desired one.
	weight int
}

// Fallback is the unreachable route behind a VM's own: when that goes with its device, packets for the VM, replies of
// translated flows among them, must not take the default route.
type Fallback struct{ Dst netip.Prefix }

// fallbackMetric is behind every route that anybody makes.
const fallbackMetric = 1 << 30

// Stray is a route that is none of ours where only ours belong: it is never desired.
type Stray struct {
	text  string
	route netlink.Route
}

// Sysctl is a kernel parameter below /proc/sys.
type Sysctl struct {
	// Path begins with net/ and uses slashes, so that device names may have dots.
	Path, Value string
	// Device is the link whose parameter it is, empty for a namespace-wide one.
	Device string
	at     stage
}

func (o Address) String() string { return "address " + o.Prefix.String() + " dev " + o.Device }
func (o Address) key() key       { return key{kind: kindAddress, name: o.Device, prefix: o.Prefix} }
func (o Address) device() string { return o.Device }
func (o Address) stage() stage   { return either(o.late, stagePortAddress, stageAddress) }

func (o Neighbour) String() string {
	return fmt.Sprintf("neigh %s lladdr %s dev %s nud permanent", o.IP, o.MAC, o.Device)
}
func (o Neighbour) key() key       { return key{kind: kindNeighbour, name: o.Device, prefix: host(o.IP)} }
func (o Neighbour) device() string { return o.Device }
func (o Neighbour) stage() stage   { return either(o.port, stagePortNeighbour, stageNeighbour) }

func (o FDB) String() string { return fmt.Sprintf("fdb %s dev %s dst %s", o.MAC, o.Device, o.Dst) }

// key has the destination for the MACs that may have several (drivers/net/vxlan/vxlan_core.c, vxlan_fdb_create): the
// default entry, which floods, and groups.
func (o FDB) key() key {
	k := key{kind: kindEntry, name: o.Device, mac: o.MAC}
	if o.MAC == (config.MAC{}) || o.MAC.IsMulticast() {
		k.prefix = host(o.Dst)
	}
	return k
}
func (o FDB) device() string { return o.Device }
func (o FDB) stage() stage   { return stageForwardingEntry }

func (o Route) String() string {
	var b strings.Builder
	b.WriteString("route " + o.Dst.String())
	for _, h := range o.Hops {
		if len(o.Hops) > 1 {
			b.WriteString(" nexthop")
		}
		if h.Via.IsValid() {
			b.WriteString(" via " + h.Via.String() + " dev " + h.Device + " onlink")
		} else {
			b.WriteString(" dev " + h.Device)
		}
		if h.weight != 0 {
			fmt.Fprintf(&b, " weight %d", h.weight)
		}
	}
	return b.String()
}
func (o Route) key() key { return key{kind: kindRoute, prefix: o.Dst} }

// device is the first hop's: all hops of one route leave by the same device.
func (o Route) device() string { return o.Hops[0].Device }
func (o Route) stage() stage {
	if o.early {
		return stageEarlyRoute
	}
	return either(o.late, stagePortRoute, stageRoute)
}

func (o Fallback) String() string {
	return fmt.Sprintf("route unreachable %s metric %d", o.Dst, fallbackMetric)
}
func (o Fallback) key() key       { return key{kind: kindFallback, prefix: o.Dst} }
func (o Fallback) device() string { return "" }
func (o Fallback) stage() stage   { return stageRoute }

func (o Stray) String() string { return "route " + o.text }
func (o Stray) key() key       { return key{kind: kindStray, name: o.text} }
func (o Stray) device() string { return "" }
func (o Stray) stage() stage   { return stageRoute }

func (o Sysctl) String() string { return "sysctl " + o.Path + "=" + o.Value }
func (o Sysctl) key() key       { return key{kind: kindSysctl, name: o.Path} }
func (o Sysctl) device() string { return o.Device }
func (o Sysctl) stage() stage   { return o.at }
