package nft

import (
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/topology"
)

// TestAsk sends what IPVS leaves to a node, as it does for some seconds after a change. A packet of the edge's goes to the other
// node, one that the other node has sent no further.
func TestAsk(t *testing.T) {
	l := newLot(t, node())
	lo, err := l.link.LinkByName("lo")
	must(t, err)
	must(t, l.link.LinkSetUp(lo))
	must(t, l.link.RouteDel(&netlink.Route{Dst: &net.IPNet{IP: public.AsSlice(), Mask: net.CIDRMask(32, 32)}}))
	must(t, l.link.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: public.AsSlice(), Mask: net.CIDRMask(32, 32)}}))
	to := func(protocol byte, payload []byte) frame {
		return reply(0).with(func(f *frame) { f.protocol, f.payload = protocol, payload })
	}
	ack := to(tcp, segment(40000, 443, 0x10, 1, 1, 1460))
	l.expect(l.vx, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:06 ttl 59 tcp 198.51.100.1:40000>45.86.152.23:443 mss 1460"}, counts{"ip/asked": 1}, ack)
	l.expect(l.vx, nil, counts{"ip/unbalanced": 1}, ack.with(func(f *frame) { f.from = topology.RouterMAC(6) }))
	l.expect(l.vx, nil, counts{"ip/unbalanced": 1}, to(udp, ports(40000, 443)))
	l.expect(l.vx, nil, counts{"ip/unbalanced": 1}, to(tcp, segment(20, 443, 0x10, 1, 1, 1460)))
	var flood []frame
	for range 2 * maxAsked {
		flood = append(flood, ack)
	}
	start := time.Now()
	_, counted := l.pass(l.vx, flood...)
	most := maxAsked + uint64(time.Since(start).Seconds()*maxAsked) + 1
	if asked := counted["ip/asked"]; asked > most || asked+counted["ip/unbalanced"] != uint64(len(flood)) {
		t.Errorf("of %d packets at once counted %v, want at most %d asked", len(flood), counted, most)
	}
}
