package overlay

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// vxlanOf reads a VXLAN link back.
func vxlanOf(l netlink.Link) (VXLAN, bool) {
	v, ok := l.(*netlink.Vxlan)
	if !ok {
		return VXLAN{}, false
	}
	return VXLAN{
		Name: v.Name, VNI: config.VNI(v.VxlanId), Local: addr(v.SrcAddr), Port: uint16(v.Port), MAC: mac(v.HardwareAddr), MTU: v.MTU,
		learning: v.Learning, down: isDown(l),
	}, true
}

// isPort reports whether a link in a tenant namespace is a VM's device: whatever is neither ours nor the kernel's.
func isPort(l netlink.Link) bool {
	return !isLoopback(l) && l.Type() != "vxlan" && !isUplink(l) && !isLoop(l) && !fallback[l.Attrs().Name]
}

// fallback are the devices that a kernel with the tunnel modules loaded puts into every namespace and that cannot leave it
// (net.core.fb_tunnels_only_for_init_net, Documentation/admin-guide/sysctl/net.rst).
var fallback = map[string]bool{
	"tunl0": true, "gre0": true, "gretap0": true, "erspan0": true, "ip_vti0": true,
	"sit0": true, "ip6tnl0": true, "ip6gre0": true, "ip6_vti0": true,
}

func isLoopback(l netlink.Link) bool { return l.Attrs().Flags&net.FlagLoopback != 0 }

// isUplink recognises the tenant's end of an edge's veth.
func isUplink(l netlink.Link) bool {
	return l.Type() == "veth" && l.Attrs().Name == topology.UplinkDevice
}

// isUplinkPort recognises the host's end of an edge's veth.
func isUplinkPort(l netlink.Link) bool {
	return l.Type() == "veth" && mac(l.Attrs().HardwareAddr) == topology.UplinkHostMAC
}

// isPair reports whether two links of two namespaces are the ends of one veth; an index alone may be the same by chance.
func isPair(a, b netlink.Link) bool {
	return a.Type() == "veth" && b.Type() == "veth" && a.Attrs().ParentIndex == b.Attrs().Index && b.Attrs().ParentIndex == a.Attrs().Index
}

func isDown(l netlink.Link) bool { return l.Attrs().Flags&net.FlagUp == 0 }

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func mac(hw net.HardwareAddr) config.MAC {
	var m config.MAC
	copy(m[:], hw)
	return m
}

func hw(m config.MAC) net.HardwareAddr { return m[:] }
