package nft

import (
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// TestUnanswered sends to an edge for listeners without a backend, of TCP and of UDP, and for another port of their address.
func TestUnanswered(t *testing.T) {
	l := newLot(t, closedEdge())
	to := func(port uint16, flags byte) frame {
		return reply(0).with(func(f *frame) {
			f.from, f.to = topology.UplinkHostMAC, topology.UplinkTenantMAC
			f.destination, f.protocol, f.payload = balanced, tcp, segment(40000, port, flags, 7, 9, 1460)
		})
	}
	for _, flags := range []byte{0x02, 0x10} {
		l.expect(l.uplink, []string{"uplink 02:63:76:ff:ff:fd>02:63:76:ff:ff:fc ttl 64 tcp 45.86.152.50:25>198.51.100.1:40000"}, counts{"ip/closed": 1}, to(25, flags))
	}
	l.expect(l.uplink, nil, counts{"ip/not_forwardable": 1}, to(26, 0x02))
	datagram := func(port uint16) frame {
		return to(port, 0).with(func(f *frame) { f.protocol, f.payload = udp, ports(40000, port) })
	}
	l.expect(l.uplink, nil, counts{"ip/not_forwardable": 1}, datagram(25))
	l.expect(l.uplink, []string{"uplink 02:63:76:ff:ff:fd>02:63:76:ff:ff:fc ttl 64 icmp 3/3 45.86.152.50>198.51.100.1 [udp 198.51.100.1:40000>45.86.152.50:53]"}, counts{"ip/closed": 1}, datagram(53))
}
