package nft

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// ground is a host's own namespace: the underlay at eth0, the outside at eth1, and a socket where the kernel has that of VXLAN.
type ground struct {
	*lot
	underlay, uplink *wire
	socket           int
}

func newGround(t *testing.T, h topology.Host) *ground {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	oneCPU(t)
	ns, link := newNamespace(t)
	farNS, farLink := newNamespace(t)
	setSysctls(t, farNS, "net/ipv6/conf/default/disable_ipv6=1")
	setSysctls(t, ns, "net/ipv4/conf/all/rp_filter=0", "net/ipv4/conf/default/rp_filter=0", "net/ipv4/icmp_echo_ignore_broadcasts=0",
		"net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1", "net/ipv6/conf/default/forwarding=1", "net/ipv6/conf/default/accept_dad=0")
	s := &stage{TB: t, ns: ns, link: link}
	g := &ground{
		lot:      &lot{stage: s},
		underlay: s.cable(farNS, farLink, "eth0", hostMAC, 1500), uplink: s.cable(farNS, farLink, "eth1", hostMAC, 1500),
	}
	for device, addresses := range map[string][]string{
		"eth0": {"192.0.2.1/24", "2001:db8::1/64"}, "eth1": {"203.0.113.1/24", "2001:db8:f::1/64"},
	} {
		for _, a := range addresses {
			g.address(device, a)
		}
	}
	g.route("0.0.0.0/0", "eth1")
	g.route("::/0", "eth1")
	g.listen(h)
	s.dial()
	s.become(Guard(h))
	return g
}

func (g *ground) address(device, prefix string) {
	g.Helper()
	a, err := netlink.ParseAddr(prefix)
	must(g, err)
	a.Flags = unix.IFA_F_NODAD
	l, err := g.link.LinkByName(device)
	must(g, err)
	must(g, g.link.AddrAdd(l, a))
	// The kernel takes an IPv6 address into use a moment later.
	for start := time.Now(); ; {
		routes, err := g.link.RouteGet(a.IP)
		if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		if time.Since(start) > 5*time.Second {
			g.Fatalf("%s is not in use", a)
		}
	}
}

// route replaces the route to a prefix by one that leaves by the devices.
func (g *ground) route(prefix string, devices ...string) {
	g.Helper()
	to := netip.MustParsePrefix(prefix)
	r := netlink.Route{Dst: &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), to.Addr().BitLen())}}
	if to.Addr().Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	for _, d := range devices {
		l, err := g.link.LinkByName(d)
		must(g, err)
		if len(devices) == 1 {
			r.LinkIndex = l.Attrs().Index
			break
		}
		hop := &netlink.NexthopInfo{LinkIndex: l.Attrs().Index}
		if to.Addr().Is6() { // several hops of IPv6 have gateways
			hop.Gw = net.ParseIP("fe80::9")
		}
		r.MultiPath = append(r.MultiPath, hop)
	}
	must(g, g.link.RouteReplace(&r))
}

// listen opens the socket, which hears every address and every group of the host.
func (g *ground) listen(h topology.Host) {
	g.Helper()
	family, any := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(h.Port)})
	if h.Underlay.Is4() {
		family, any = unix.AF_INET, &unix.SockaddrInet4{Port: int(h.Port)}
	}
	must(g, g.ns.Do(func() (err error) {
		g.socket, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	}))
	g.Cleanup(func() { _ = unix.Close(g.socket) })
	must(g, unix.Bind(g.socket, any))
}

// heard sends a datagram to the VXLAN port in by a wire. It returns whether the socket heard it, and what was counted.
func (g *ground) heard(by *wire, from, to netip.Addr) (heard bool, counted counts) {
	g.Helper()
	f := frame{from: farMAC, to: hostMAC, source: from, destination: to, ttl: 64, protocol: udp, payload: ports(50000, 4789, 'v')}
	b := f.encode()
	if from.Is6() {
		b = frame6(farMAC, from, to, udp, f.transport())
		copy(b, hostMAC[:])
	}
	counted = g.counted(by, b)
	_, _, err := unix.Recvfrom(g.socket, make([]byte, 100), 0)
	if !errors.Is(err, unix.EAGAIN) {
		must(g, err)
	}
	return err == nil, counted
}

// hears checks that what a datagram says is heard, or else counted as an outsider's.
func (g *ground) hears(want bool, by *wire, from, to string) {
	g.Helper()
	counter := "ip/outsider"
	f, d := netip.MustParseAddr(from), netip.MustParseAddr(to)
	if f.Is6() {
		counter = "ip6/outsider"
	}
	heard, counted := g.heard(by, f, d)
	if heard != want || (counted[counter] == 0) != want {
		g.Errorf("from %s to %s by %s: heard is %t, want %t; counted %v", from, to, by.name, heard, want, counted)
	}
}

// onGround runs a test with either family of the underlay, on a host with an uplink.
func onGround(t *testing.T, run func(g *ground, own, peer, stranger string)) {
	for _, h := range []topology.Host{guarded(), guarded6()} {
		h.Uplink = "eth1"
		own, peer, stranger := "192.0.2.1", "192.0.2.2", "192.0.2.66"
		if h.Underlay.Is6() {
			own, peer, stranger = "2001:db8::1", "2001:db8::2", "2001:db8::66"
		}
		t.Run(own, func(t *testing.T) { run(newGround(t, h), own, peer, stranger) })
	}
}

// TestOutsider sends VXLAN from strangers and from a host of the fleet to every kind of address that the socket hears.
func TestOutsider(t *testing.T) {
	onGround(t, func(g *ground, own, peer, stranger string) {
		heard := []string{"192.0.2.1", "203.0.113.1", "192.0.2.255", "255.255.255.255", "224.0.0.1"}
		elsewhere := []string{"192.0.2.77", "198.51.100.1"}
		if own == "2001:db8::1" {
			local := ""
			l, err := g.link.LinkByName("eth0")
			must(g, err)
			addresses, err := g.link.AddrList(l, unix.AF_INET6)
			must(g, err)
			for _, a := range addresses {
				if a.IP.IsLinkLocalUnicast() {
					local = a.IP.String()
				}
			}
			// The last one is the anycast address of the subnet's routers (RFC 4291 section 2.6.1).
			heard = []string{"2001:db8::1", "2001:db8:f::1", local, "ff02::1", "2001:db8::"}
			elsewhere = []string{"2001:db8::77", "2001:db8:ffff::1"}
		}
		for _, to := range heard {
			g.hears(false, g.underlay, stranger, to)
			g.hears(true, g.underlay, peer, to)
		}
		for _, to := range elsewhere {
			if heard, counted := g.heard(g.underlay, netip.MustParseAddr(stranger), netip.MustParseAddr(to)); heard || len(counted) > 0 {
				g.Errorf("to %s, which is another host: heard is %t, counted %v", to, heard, counted)
			}
		}
	})
}

// TestForgedUnderlay sends VXLAN in by the uplink with the source of a host of the fleet, which the route says is elsewhere, there, or
// both.
func TestForgedUnderlay(t *testing.T) {
	onGround(t, func(g *ground, own, peer, stranger string) {
		outside, group, alone := "203.0.113.1", "224.0.0.1", "192.0.2.2/32"
		if own == "2001:db8::1" {
			outside, group, alone = "2001:db8:f::1", "ff02::1", "2001:db8::2/128"
		}
		for _, to := range []string{own, outside, group} {
			g.hears(false, g.uplink, peer, to)
			g.hears(true, g.underlay, peer, to)
		}
		g.route(alone, "eth0", "eth1")
		for range 8 {
			g.hears(true, g.underlay, peer, own)
			if own != "2001:db8::1" {
				g.hears(true, g.uplink, peer, own)
				continue
			}
			// Of several hops of IPv6 the kernel takes one, by a hash of the addresses with a seed of its own (fib6_select_path).
			if heard, counted := g.heard(g.uplink, netip.MustParseAddr(peer), netip.MustParseAddr(own)); heard != (counted["ip6/outsider"] == 0) {
				g.Errorf("by one hop of two: heard is %t, counted %v", heard, counted)
			}
		}
		g.route(alone, "eth1")
		g.hears(true, g.uplink, peer, own)
		g.hears(true, g.uplink, peer, outside)
		g.hears(true, g.underlay, peer, own)
		g.hears(false, g.uplink, stranger, own)
	})
}
