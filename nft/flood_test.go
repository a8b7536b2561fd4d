package nft

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/topology"
)

// TestFlood sends SYNs from forged sources to a node: no more than the limit get to where IPVS takes them, and every packet of a flow
// that has begun does. Here the chain behind IPVS counts them, as it has not been told of any service; by another node's address, so that
// it does not ask that one.
func TestFlood(t *testing.T) {
	l := newLot(t, node())
	lo, err := l.link.LinkByName("lo")
	must(t, err)
	must(t, l.link.LinkSetUp(lo))
	must(t, l.link.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: public.AsSlice(), Mask: net.CIDRMask(32, 32)}}))
	const many = 3 * maxOpening
	segments := func(flags byte, n int) []frame {
		out := make([]frame, n)
		for i := range out {
			out[i] = reply(443).with(func(f *frame) {
				f.from = topology.RouterMAC(6)
				f.source = netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
				f.protocol, f.payload = tcp, segment(1024, 443, flags, 0, 0, 0)
			})
		}
		return out
	}
	start := time.Now()
	// IPVS takes all of these for a beginning: SYN, SYN with FIN, SYN with ACK.
	_, counted := l.pass(l.vx, slices.Concat(segments(0x02, many/3), segments(0x03, many/3), segments(0x12, many/3))...)
	most := maxOpening + uint64(time.Since(start).Seconds()*maxOpening) + 1
	if passed := counted["ip/unbalanced"]; passed < maxOpening || passed > most {
		t.Errorf("%d of %d SYNs passed, want %d to %d", passed, many, maxOpening, most)
	}
	if counted["ip/unbalanced"]+counted["ip/flooded"] != many {
		t.Errorf("counted %v of %d", counted, many)
	}
	l.expect(l.vx, nil, counts{"ip/unbalanced": 1000}, segments(0x10, 1000)...)
}
