package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/culvertnet/culvert/config"
)

// EtherTypes (IEEE 802 numbers).
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

func ethernet(to, from config.MAC, typ uint16) []byte {
	return binary.BigEndian.AppendUint16(append(append([]byte{}, to[:]...), from[:]...), typ)
}

// Frame puts an Ethernet header before an IP packet.
func Frame(to, from config.MAC, ip []byte) []byte {
	typ := uint16(etherIPv4)
	if len(ip) > 0 && ip[0]>>4 == 6 {
		typ = etherIPv6
	}
	return append(ethernet(to, from, typ), ip...)
}

// ARPSpec describes an ARP packet for Ethernet and IPv4.
type ARPSpec struct {
	// To and From are in the Ethernet header, Says is the sender's hardware address in the packet.
	To, From, Says config.MAC
	Reply          bool
	Source, Target netip.Addr
}

// ARP writes the frame (RFC 826).
func ARP(s ARPSpec) []byte {
	b := append(ethernet(s.To, s.From, etherARP), 0, 1, 8, 0, 6, 4, 0, 1)
	if s.Reply {
		b[len(b)-1] = 2
	}
	source, target := s.Source.As4(), s.Target.As4()
	b = append(append(b, s.Says[:]...), source[:]...)
	return append(append(b, make([]byte, 6)...), target[:]...)
}

// VXLAN puts the header of RFC 7348 section 5 before a frame: the payload of the datagram that carries it.
func VXLAN(vni config.VNI, frame []byte) []byte {
	const validVNI = 0x08
	return append(binary.BigEndian.AppendUint32([]byte{validVNI, 0, 0, 0}, uint32(vni)<<8), frame...)
}
