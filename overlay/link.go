package overlay

import (
	"fmt"
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// Namespace is a tenant namespace; its place is the host's.
type Namespace struct {
	Name string
	// flaw is how an observed namespace differs from every desired one.
	flaw string
}

// What can be wrong with a namespace.
const (
	flawFile = " (a file without a namespace)"
	flawLo   = " (lo is down)"
)

// VXLAN is a tenant's VXLAN device (RFC 7348); its socket stays in the host's namespace. No learning, no flooding.
type VXLAN struct {
	Name  string
	VNI   config.VNI
	Local netip.Addr
	Port  uint16
	MAC   config.MAC
	// MTU in bytes.
	MTU int
	// learning and down are how an observed link differs from every desired one.
	learning, down bool
}

// Uplink is the veth pair between an edge's tenant namespace (as "uplink") and the host's (as Port).
type Uplink struct {
	Port         string
	MAC, PortMAC config.MAC
	// MTU in bytes, that of the VXLAN device: what does not fit is refused by the host's own stack, with its own address.
	MTU int
	// portMTU is the other end's if it differs; down is true if one end is.
	portMTU int
	down    bool
}

// Orphan is the host's end of a veth pair whose tenant namespace has lost its name: it is never desired.
type Orphan struct{ Port string }

// Port is a VM's device, moved into the tenant's namespace.
type Port struct {
	Device string
	MAC    config.MAC
	down   bool
}

func (o Namespace) String() string { return "netns " + o.Name + o.flaw }
func (o Namespace) key() key       { return key{kind: kindNamespace, name: o.Name} }
func (o Namespace) device() string { return "" }
func (o Namespace) stage() stage   { return stageNamespace }

func (o VXLAN) String() string {
	learning := "nolearning"
	if o.learning {
		learning = "learning"
	}
	return fmt.Sprintf("link %s address %s mtu %d type vxlan id %d local %s dstport %d %s %s", o.Name, o.MAC, o.MTU, o.VNI, o.Local, o.Port, learning, upDown(o.down))
}
func (o VXLAN) key() key       { return linkKey(o.Name) }
func (o VXLAN) device() string { return o.Name }
func (o VXLAN) stage() stage   { return stageLink }

// outlives reports whether the device can become o without being made anew.
func (o VXLAN) outlives(old Object) bool {
	was, ok := old.(VXLAN)
	return ok && was.tunnel() == o.tunnel() && was.Local == o.Local && !was.learning
}

// tunnel is what the kernel allows a single device of a host to have.
func (o VXLAN) tunnel() tunnel { return tunnel{o.VNI, o.Port} }

type tunnel struct {
	vni  config.VNI
	port uint16
}

func (o Uplink) String() string {
	ends := ""
	if o.portMTU != 0 {
		ends = fmt.Sprintf(" mtu %d", o.portMTU)
	}
	return fmt.Sprintf("link %s address %s mtu %d type veth peer %s address %s%s in the host's namespace %s", topology.UplinkDevice, o.MAC, o.MTU, o.Port, o.PortMAC, ends, upDown(o.down))
}
func (o Uplink) key() key       { return linkKey(topology.UplinkDevice) }
func (o Uplink) device() string { return topology.UplinkDevice }
func (o Uplink) stage() stage   { return stageLink }

// outlives reports whether the pair can become o without being made anew.
func (o Uplink) outlives(old Object) bool {
	was, ok := old.(Uplink)
	return ok && was.Port == o.Port
}

func (o Orphan) String() string {
	return fmt.Sprintf("link %s type veth, whose peer's namespace has lost its name", o.Port)
}
func (o Orphan) key() key       { return linkKey(o.Port) }
func (o Orphan) device() string { return o.Port }
func (o Orphan) stage() stage   { return stageLink }

func (o Port) String() string {
	return fmt.Sprintf("link %s address %s %s", o.Device, o.MAC, upDown(o.down))
}
func (o Port) key() key       { return linkKey(o.Device) }
func (o Port) device() string { return o.Device }
func (o Port) stage() stage   { return stagePort }

func upDown(down bool) string {
	if down {
		return "down"
	}
	return "up"
}
