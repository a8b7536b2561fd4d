package nft

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// Underlay addresses of hv1 and of its peers.
var (
	ownUnderlay  = netip.MustParseAddr("192.0.2.1")
	peerUnderlay = netip.MustParseAddr("192.0.2.2")
)

const vxlanPort = 4789 // RFC 7348 section 8

// newEncapsulated is newLot with a VXLAN device, whose UDP socket is in a host's namespace. Its wire is the host's cable, so frames on it
// are those of the underlay.
func newEncapsulated(t testing.TB, tenant topology.Tenant) *lot {
	t.Helper()
	return newLotOver(t, tenant, func(l *lot, farLink *netlink.Handle) *wire {
		ns, link := newNamespace(t)
		host := &stage{TB: t, ns: ns, link: link}
		w := host.cable(l.far, farLink, "eth0", hostMAC, 1500)
		eth0, err := link.LinkByName("eth0")
		must(t, err)
		must(t, link.AddrAdd(eth0, &netlink.Addr{IPNet: &net.IPNet{IP: ownUnderlay.AsSlice(), Mask: net.CIDRMask(24, 32)}}))
		must(t, link.NeighSet(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, State: netlink.NUD_PERMANENT, IP: peerUnderlay.AsSlice(), HardwareAddr: farMAC[:]}))
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr, attrs.MTU, attrs.Namespace = tenant.Device(), net.HardwareAddr(hv1MAC[:]), 1450, netlink.NsFd(l.ns.Fd())
		must(t, link.LinkAdd(&netlink.Vxlan{LinkAttrs: attrs, VxlanId: int(tenant.VNI), SrcAddr: ownUnderlay.AsSlice(), Port: vxlanPort}))
		vx, err := l.link.LinkByName(tenant.Device())
		must(t, err)
		must(t, l.link.LinkSetUp(vx))
		for _, p := range tenant.Peers {
			must(t, l.link.NeighSet(&netlink.Neigh{
				LinkIndex: vx.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP, Flags: netlink.NTF_SELF,
				IP: peerUnderlay.AsSlice(), HardwareAddr: p.MAC[:],
			}))
		}
		return w
	})
}

// encapsulated is a frame of a peer as it comes to hv1 (RFC 7348 section 5).
func encapsulated(t topology.Tenant, inner []byte) []byte {
	vxlan := binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, uint32(t.VNI)<<8)
	return frame{
		from: farMAC, to: hostMAC, source: peerUnderlay, destination: ownUnderlay, ttl: 64, protocol: udp,
		payload: ports(50000, vxlanPort, append(vxlan, inner...)...),
	}.encode()
}
