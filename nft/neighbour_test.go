package nft

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// gateway6At gives tap-a what the overlay's room does: IPv6, with the address of the gateway.
func (l *lot) gateway6At(device string) netlink.Link {
	l.Helper()
	tap, err := l.link.LinkByName(device)
	must(l, err)
	must(l, l.link.AddrAdd(tap, &netlink.Addr{IPNet: &net.IPNet{IP: gateway6.AsSlice(), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}))
	for start := time.Now(); time.Since(start) < 5*time.Second; {
		routes, err := l.link.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
		must(l, err)
		for _, r := range routes {
			if r.Dst != nil && r.Dst.IP.Equal(gateway6.AsSlice()) {
				return tap
			}
		}
	}
	l.Fatal("the gateway is not in use")
	return nil
}

// solicit is a question for the gateway with all that the kernel wants before it remembers who asks.
func solicit(from netip.Addr) []byte {
	const solicitation = 135
	body := append(discovery(solicitation, gateway6), 1, 1) // the sender's link-layer address (RFC 4861 section 4.6.1)
	body = append(body, vmMAC[:]...)
	pseudo := append(append([]byte{}, from.AsSlice()...), gateway6.AsSlice()...)
	pseudo = append(pseudo, 0, 0, 0, byte(len(body)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))
	return frame6(vmMAC, from, gateway6, unix.IPPROTO_ICMPV6, body)
}

// TestNeighbourFlood asks for the gateway from ever new link-local addresses: the kernel remembers few of them. What the VM
// sends from its own address is not bounded.
func TestNeighbourFlood(t *testing.T) {
	const many = 100
	l := newLot(t, hypervisor())
	setSysctls(t, l.ns, "net/ipv6/conf/tap-a/accept_dad=0", "net/ipv6/conf/tap-a/disable_ipv6=0")
	tap := l.gateway6At("tap-a")
	start := time.Now()
	var frames [][]byte
	for i := range many {
		frames = append(frames, solicit(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: 1, 15: byte(i)})))
	}
	counted := l.counted(l.tap, frames...)
	neighbours, err := l.link.NeighList(tap.Attrs().Index, netlink.FAMILY_V6)
	must(t, err)
	remembered := 0
	for _, n := range neighbours {
		if n.IP.IsLinkLocalUnicast() {
			remembered++
		}
	}
	most := neighbourBurst + int(time.Since(start).Seconds()*neighbourRate) + 1
	if remembered < neighbourBurst || remembered > most {
		t.Errorf("%d addresses are remembered, want %d to %d", remembered, neighbourBurst, most)
	}
	if n := counted["ip6/neighbour_flood"]; int(n) != many-remembered {
		t.Errorf("%d of %d counted, and %d remembered", n, many, remembered)
	}
	for range many {
		if got := l.counted(l.tap, frame6(vmMAC, vmA6, netip.MustParseAddr("fd00::99"), udp, ports(1, 2))); len(got) > 0 {
			t.Fatalf("data of the VM: counted %v", got)
		}
	}
}

// TestVMStarts lets a kernel play the VM: it looks for duplicates and routers, joins groups, asks for its gateway and sends. Nothing of
// that is dropped.
func TestVMStarts(t *testing.T) {
	l := newLot(t, hypervisor())
	setSysctls(t, l.ns, "net/ipv6/conf/tap-a/accept_dad=0", "net/ipv6/conf/tap-a/disable_ipv6=0", "net/ipv6/conf/all/forwarding=1")
	l.gateway6At("tap-a")
	nic, err := l.farLink.LinkByName("far-tap-a")
	must(t, err)
	must(t, l.farLink.LinkSetHardwareAddr(nic, vmMAC[:]))
	before := l.counts()
	setSysctls(t, l.far, "net/ipv6/conf/far-tap-a/disable_ipv6=0")
	must(t, l.farLink.AddrAdd(nic, &netlink.Addr{IPNet: &net.IPNet{IP: vmA6.AsSlice(), Mask: net.CIDRMask(128, 128)}}))
	must(t, l.farLink.RouteAdd(&netlink.Route{
		LinkIndex: nic.Attrs().Index, Dst: &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}, Gw: gateway6.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
	}))
	socket := -1
	must(t, l.far.Do(func() (err error) {
		socket, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	}))
	t.Cleanup(func() { _ = unix.Close(socket) })
	found := func() bool {
		neighbours, err := l.farLink.NeighList(nic.Attrs().Index, netlink.FAMILY_V6)
		must(t, err)
		for _, n := range neighbours {
			if n.IP.Equal(gateway6.AsSlice()) && n.State&(netlink.NUD_REACHABLE|netlink.NUD_DELAY|netlink.NUD_STALE|netlink.NUD_PROBE) != 0 {
				return n.HardwareAddr.String() == topology.GatewayMAC.String()
			}
		}
		return false
	}
	bound := false
	for start := time.Now(); !found(); {
		// Until nobody has claimed the address, it is none to bind to.
		if bound = bound || unix.Bind(socket, &unix.SockaddrInet6{Addr: vmA6.As16()}) == nil; bound {
			must(t, unix.Sendto(socket, []byte("v"), 0, &unix.SockaddrInet6{Port: 9, Addr: netip.MustParseAddr("fd00::99").As16()}))
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("the VM does not find its gateway")
		}
	}
	after := l.counts()
	for _, name := range []string{"ip6/neighbour_flood", "ip6/spoofed", "ip6/link_local"} {
		if after[name] != before[name] {
			t.Errorf("%s counted %d", name, after[name]-before[name])
		}
	}
}
