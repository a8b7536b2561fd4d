package topology

import (
	"encoding/binary"
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// GatewayMAC is the link-layer address of the host's end of every VM device: a VM that moves finds the same gateway.
var GatewayMAC = config.MAC{0x02, 0x63, 0x76, 0xff, 0xff, 0xfe}

// The veth between an edge's own namespace and a tenant's. Its addresses are link-local (RFC 3927, RFC 4291 section 2.5.6)
// and exist in neighbour tables alone.
var (
	UplinkHost      = netip.AddrFrom4([4]byte{169, 254, 99, 1})
	UplinkTenant    = netip.AddrFrom4([4]byte{169, 254, 99, 2})
	UplinkHost6     = netip.MustParseAddr("fe80::63:1")
	UplinkTenant6   = netip.MustParseAddr("fe80::63:2")
	UplinkHostMAC   = config.MAC{0x02, 0x63, 0x76, 0xff, 0xff, 0xfc}
	UplinkTenantMAC = config.MAC{0x02, 0x63, 0x76, 0xff, 0xff, 0xfd}
)

// UplinkDevice is the tenant namespace's end of that veth; [Tenant.UplinkPort] names the host's.
const UplinkDevice = "uplink"

// The veth pair of a node that runs backends itself: what it sends into one end comes out of the other as if from another host.
const (
	HandoverDevice = "handover"
	DeliveryDevice = "delivery"
)

// HandoverMAC is that of the end that the node sends into.
var HandoverMAC = config.MAC{0x02, 0x63, 0x76, 0xff, 0xff, 0xfb}

// The group that nodes tell each other about connections by (include/net/ip_vs.h: IP_VS_SYNC_GROUP, IP_VS_SYNC_PORT), and its
// link-layer address (RFC 1112 section 6.4).
var (
	SyncGroup = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	SyncMAC   = config.MAC{0x01, 0x00, 0x5e, 0x00, 0x00, 0x51}
)

// SyncPort is the group's UDP port.
const SyncPort = 8848

// RouterMAC is a host's link-layer address in every VNI: locally administered, the last three bytes are the id.
func RouterMAC(id portmap.HostID) config.MAC {
	return config.MAC{0x02, 0x63, 0x76, byte(id >> 16), byte(id >> 8), byte(id)}
}

// OverlayIPv4 is a host's IPv4 overlay address in every VNI: the id counted from the start of the prefix.
func OverlayIPv4(o config.Overlay, id portmap.HostID) netip.Addr {
	b := o.IPv4.Masked().Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(id))
	return netip.AddrFrom4(b)
}

// OverlayIPv6 is a host's IPv6 overlay address in every VNI: the id counted from the start of the prefix.
func OverlayIPv6(o config.Overlay, id portmap.HostID) netip.Addr {
	b := o.IPv6.Masked().Addr().As16()
	binary.BigEndian.PutUint32(b[12:], binary.BigEndian.Uint32(b[12:])+uint32(id))
	return netip.AddrFrom16(b)
}

// Nowhere is the peer that no host is: id 0 is never handed out.
func Nowhere(o config.Overlay) Peer {
	return Peer{MAC: RouterMAC(0), IPv4: OverlayIPv4(o, 0), IPv6: OverlayIPv6(o, 0)}
}
