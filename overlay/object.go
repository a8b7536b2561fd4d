package overlay

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// Place is where an object lives: the name of a tenant namespace, or [HostPlace].
type Place string

// HostPlace is the host's own namespace.
const HostPlace Place = ""

// Protocol marks our routes among others' (rtm_protocol, linux/rtnetlink.h: values above 4 are user space's to choose).
const Protocol = 146

// Object is one thing that the kernel holds for us. Two objects are the same thing if place and key are equal, and equal
// if their text is.
type Object interface {
	// String is the object in iproute2's words without the verb; it holds everything that matters.
	String() string
	key() string
	// device is the link that takes the object along when it goes, empty for none.
	device() string
	stage() stage
	put(h *handle) error
	drop(h *handle) error
	// commands are the shell commands that do what put does on a bare host.
	commands(at Place) []string
}

// stage orders changes. What is needed for correct forwarding exists before the rules, what brings traffic comes after.
type stage int

const (
	stageNamespace stage = iota
	stageSysctl
	stageLink
	stageLinkSysctl
	stageAddress
	stageNeighbour
	stageForwardingEntry
	stageRoute
	stageRules // nothing here: the nft room's turn
	stagePort
	stagePortSysctl
	stagePortAddress
	stagePortNeighbour
	stagePortRoute
	stageForwarding
)

// Namespace is a tenant namespace; its place is the host's.
type Namespace struct{ Name string }

// VXLAN is a tenant's VXLAN device (RFC 7348); its socket stays in the host's namespace. No learning, no flooding.
type VXLAN struct {
	Name  string
	VNI   config.VNI
	Local netip.Addr
	Port  uint16
	MAC   config.MAC
	// MTU in bytes.
	MTU int
	// down is how an observed link differs from every desired one.
	down bool
}

// Uplink is the veth pair between an edge's tenant namespace (as "uplink") and the host's (as Port).
type Uplink struct {
	Port         string
	MAC, PortMAC config.MAC
	// MTU in bytes, that of the VXLAN device: what does not fit is refused by the host's own stack, with its own address.
	MTU  int
	down bool
}

// Port is a VM's device, moved into the tenant's namespace.
type Port struct {
	Device string
	MAC    config.MAC
	down   bool
}

// Address is an address on a device.
type Address struct {
	Device string
	Prefix netip.Prefix
	port   bool
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
}

// Hop is a next hop; a route without a gateway is on-link.
type Hop struct {
	Via    netip.Addr
	Device string
}

// Sysctl is a kernel parameter below /proc/sys.
type Sysctl struct {
	// Path uses slashes, so that device names may have dots.
	Path, Value string
	// Device is the link whose parameter it is, empty for a namespace-wide one.
	Device string
	at     stage
}

func (o Namespace) String() string { return "netns " + o.Name }
func (o Namespace) key() string    { return "netns " + o.Name }
func (o Namespace) device() string { return "" }
func (o Namespace) stage() stage   { return stageNamespace }

func (o VXLAN) String() string {
	return fmt.Sprintf("link %s address %s mtu %d type vxlan id %d local %s dstport %d nolearning", o.Name, o.MAC, o.MTU, o.VNI, o.Local, o.Port) + upDown(o.down)
}
func (o VXLAN) key() string    { return "link " + o.Name }
func (o VXLAN) device() string { return o.Name }
func (o VXLAN) stage() stage   { return stageLink }

// outlives reports whether the device can become o without being made anew.
func (o VXLAN) outlives(old Object) bool {
	was, ok := old.(VXLAN)
	return ok && was.VNI == o.VNI && was.Local == o.Local && was.Port == o.Port
}

func (o Uplink) String() string {
	return fmt.Sprintf("link %s address %s mtu %d type veth peer %s address %s in the host's namespace", topology.UplinkDevice, o.MAC, o.MTU, o.Port, o.PortMAC) + upDown(o.down)
}
func (o Uplink) key() string    { return "link " + topology.UplinkDevice }
func (o Uplink) device() string { return topology.UplinkDevice }
func (o Uplink) stage() stage   { return stageLink }

func (o Port) String() string {
	return fmt.Sprintf("link %s address %s", o.Device, o.MAC) + upDown(o.down)
}
func (o Port) key() string    { return "link " + o.Device }
func (o Port) device() string { return o.Device }
func (o Port) stage() stage   { return stagePort }

func (o Address) String() string { return fmt.Sprintf("address %s dev %s", o.Prefix, o.Device) }
func (o Address) key() string    { return o.String() }
func (o Address) device() string { return o.Device }
func (o Address) stage() stage   { return either(o.port, stagePortAddress, stageAddress) }

func (o Neighbour) String() string {
	return fmt.Sprintf("neigh %s lladdr %s dev %s nud permanent", o.IP, o.MAC, o.Device)
}
func (o Neighbour) key() string    { return fmt.Sprintf("neigh %s %s", o.Device, o.IP) }
func (o Neighbour) device() string { return o.Device }
func (o Neighbour) stage() stage   { return either(o.port, stagePortNeighbour, stageNeighbour) }

func (o FDB) String() string { return fmt.Sprintf("fdb %s dev %s dst %s", o.MAC, o.Device, o.Dst) }
func (o FDB) key() string    { return fmt.Sprintf("fdb %s %s", o.Device, o.MAC) }
func (o FDB) device() string { return o.Device }
func (o FDB) stage() stage   { return stageForwardingEntry }

func (o Route) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "route %s", o.Dst)
	for _, h := range o.Hops {
		if len(o.Hops) > 1 {
			b.WriteString(" nexthop")
		}
		if h.Via.IsValid() {
			fmt.Fprintf(&b, " via %s dev %s onlink", h.Via, h.Device)
		} else {
			fmt.Fprintf(&b, " dev %s", h.Device)
		}
	}
	return b.String()
}
func (o Route) key() string { return "route " + o.Dst.String() }

// device is the first hop's: all hops of one route leave by the same device.
func (o Route) device() string { return o.Hops[0].Device }
func (o Route) stage() stage   { return either(o.late, stagePortRoute, stageRoute) }

func (o Sysctl) String() string { return fmt.Sprintf("sysctl %s=%s", o.Path, o.Value) }
func (o Sysctl) key() string    { return "sysctl " + o.Path }
func (o Sysctl) device() string { return o.Device }
func (o Sysctl) stage() stage   { return o.at }

func either(cond bool, a, b stage) stage {
	if cond {
		return a
	}
	return b
}

func upDown(down bool) string {
	if down {
		return " down"
	}
	return " up"
}
