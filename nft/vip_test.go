package nft

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// TestVIPMaps holds the maps of VIPs on every host that has to do with them.
func TestVIPMaps(t *testing.T) {
	alone := withVIPs()
	alone.NAT = nil
	down := withVIPs()
	down.VIPs[1].Down = true
	for _, tt := range []struct {
		role   topology.Tenant
		family Family
		set    string
		want   []string
	}{
		{withVIPs(), IPv4Family, mapVIPIn, []string{"45.86.152.30 : 10.0.0.12"}},
		{withVIPs(), IPv4Family, mapVIPOut, []string{"10.0.0.12 : 45.86.152.30"}},
		{withVIPs(), IPv6Family, mapVIPIn, []string{"2001:db8::30 : fd00::12"}},
		{withVIPs(), IPv6Family, mapVIPOut, []string{"fd00::12 : 2001:db8::30"}},
		{withVIPs(), IPv4Family, mapSharedIn, []string{"45.86.152.32 : 10.0.0.13", "45.86.152.33 : 10.0.0.13"}},
		{withVIPs(), IPv4Family, mapSharedOut, []string{"10.0.0.13 : 45.86.152.32"}},
		{withVIPs(), IPv6Family, mapSharedOut, []string{"fd00::13 : 2001:db8::32"}},
		{withVIPs(), NetdevFamily, mapVIPOwners, []string{"45.86.152.31 : 100.64.0.2"}},
		{withVIPs(), NetdevFamily, mapVIPOwners6, []string{"2001:db8::31 : 100.64.0.2"}},
		{down, NetdevFamily, mapVIPOwners, []string{}},
		{vipEdge(), IPv6Family, setPublics, []string{"2001:db8::30", "2001:db8::31", "2001:db8::32", "2001:db8::33"}},
		{vipEdge(), NetdevFamily, mapVIPOwners, nil},
		{alone, IPv4Family, mapVIPIn, []string{"45.86.152.30 : 10.0.0.12"}},
		{alone, IPv4Family, setPublics, []string{"45.86.152.30", "45.86.152.31", "45.86.152.32", "45.86.152.33"}},
		{alone, NetdevFamily, mapOwners, nil},
	} {
		if diff := cmp.Diff(tt.want, elements(Desired(tt.role), tt.family, tt.set)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.family, tt.set, diff)
		}
	}
}

// TestOneFamily is a tenant with VIPs of IPv6 alone: the IPv4 tables let nothing in or out.
func TestOneFamily(t *testing.T) {
	for _, tenant := range []topology.Tenant{withVIPs(), withVIPsBoth(), vipEdge()} {
		tenant.NAT = nil
		tenant.VIPs = slices.DeleteFunc(slices.Clone(tenant.VIPs), func(v topology.VIP) bool { return v.Public.Is4() || v.Shared })
		desired := Desired(tenant)
		if find(desired, IPv4Family).set(setPublics) != nil || find(desired, IPv6Family).set(setPublics) == nil {
			t.Errorf("IPv4 has public addresses, or IPv6 has none:\n%s", printed(desired))
		}
		for _, table := range desired {
			everyNameIsThere(t, "one family", table)
		}
		newStage(t).become(desired)
	}
}

// TestVIPPackets follows packets of a VIP that is here and of one that is elsewhere.
func TestVIPPackets(t *testing.T) {
	tenant := withVIPs()
	vmF := netip.MustParseAddr("10.0.0.14")
	tenant.Interfaces[1].Addresses = append(tenant.Interfaces[1].Addresses, vmF)
	tenant.VIPs = append(tenant.VIPs, topology.VIP{Public: netip.MustParseAddr("45.86.152.34"), Private: vmF, Peer: tenant.Self, Local: true})
	l := newLot(t, tenant)
	in := reply(2100).with(func(f *frame) { f.destination = vipA })
	out := request(40000)
	elsewhere := in.with(func(f *frame) { f.destination = vipB })
	const toVM, toEdge = "tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 ", "vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 63 "
	l.expect(l.vx, []string{toVM + "udp 198.51.100.1:443>10.0.0.12:2100"}, nil, in)
	l.expect(l.tap, []string{toEdge + "udp 45.86.152.30:40000>198.51.100.1:443"}, nil, out)
	// Protocols that NAT refuses.
	l.expect(l.tap, []string{toEdge + " 45.86.152.30:0>198.51.100.1:2048"}, nil,
		out.with(func(f *frame) { f.protocol, f.payload = unix.IPPROTO_GRE, []byte{0, 0, 8, 0} }))
	// A VM of the tenant, by way of the edge.
	l.expect(l.vx, []string{toVM + "udp 45.86.152.31:443>10.0.0.12:2100"}, nil, in.with(func(f *frame) { f.source = vipB }))
	// Errors, with what they are about.
	l.expect(l.vx, []string{toVM + "icmp 3/3 198.51.100.1>10.0.0.12 [udp 10.0.0.12:9>198.51.100.1:9]"}, nil, in.with(func(f *frame) {
		f.protocol, f.payload = icmpProtocol, icmpError(3, 3, frame{source: vipA, destination: server, ttl: 60, protocol: udp, payload: ports(9, 9)})
	}))
	l.expect(l.tap, []string{toEdge + "icmp 3/3 45.86.152.30>198.51.100.1 [udp 198.51.100.1:9>45.86.152.30:9]"}, nil, out.with(func(f *frame) {
		f.protocol, f.payload = icmpProtocol, icmpError(3, 3, frame{source: server, destination: vmA, ttl: 60, protocol: udp, payload: ports(9, 9)})
	}))
	// An error about a packet for another VM of the tenant on this host: it comes from the VIP of the VM that sends it.
	for quoted, left := range map[netip.Addr]netip.Addr{vmC: vmC, vmF: netip.MustParseAddr("45.86.152.34")} {
		l.expect(l.tap, []string{toEdge + "icmp 3/3 45.86.152.30>198.51.100.1 [udp 198.51.100.1:9>" + left.String() + ":9]"}, nil, out.with(func(f *frame) {
			f.protocol, f.payload = icmpProtocol, icmpError(3, 3, frame{source: server, destination: quoted, ttl: 60, protocol: udp, payload: ports(9, 9)})
		}))
	}
	// Hops run out here: the host speaks for the VIP.
	l.expect(l.vx, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 64 icmp 11/0 45.86.152.30>198.51.100.1 [udp 198.51.100.1:443>45.86.152.30:2100]"}, nil,
		in.with(func(f *frame) { f.ttl = 1 }))
	l.expect(l.vx, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 59 udp 198.51.100.1:443>45.86.152.31:2100"}, counts{"netdev/redirected": 1}, elsewhere)
	l.expect(l.vx, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 59 17 198.51.100.1>45.86.152.31 fragment 0x5"}, counts{"netdev/redirected": 1},
		elsewhere.with(func(f *frame) { f.fragment = 5 }))
	l.expect(l.vx, nil, counts{"ip/own_traffic": 1}, elsewhere.with(func(f *frame) { f.ttl = 1 }))
	// From a host that is no edge: it is never sent on.
	l.expect(l.vx, nil, counts{"ip/second_hand": 1}, elsewhere.with(func(f *frame) { f.from = hv2MAC }))
	if n := l.entries(); n != 0 {
		t.Errorf("conntrack has %d entries", n)
	}
	l.expect(l.tap, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 63 udp 10.0.0.12:40000>10.0.0.47:443"}, nil,
		out.with(func(f *frame) { f.destination = vmB }))
}

// TestVIPToTheOverlay refuses what a VM with a VIP sends to an overlay address that nobody has: it is not outside.
func TestVIPToTheOverlay(t *testing.T) {
	l := newLot(t, withVIPs())
	l.expect(l.tap, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 64 icmp 3/13 100.64.0.1>10.0.0.12 [udp 10.0.0.12:40000>100.64.0.99:443]"}, counts{"ip/refused": 1},
		request(40000).with(func(f *frame) { f.destination = netip.MustParseAddr("100.64.0.99") }))
	setSysctls(t, l.ns, "net/ipv6/conf/tap-a/accept_dad=0", "net/ipv6/conf/tap-a/disable_ipv6=0", "net/ipv6/conf/all/forwarding=1")
	vx, err := l.link.LinkByName("vx100")
	must(t, err)
	setSysctls(t, l.ns, "net/ipv6/conf/vx100/accept_dad=0", "net/ipv6/conf/vx100/disable_ipv6=0")
	must(t, l.link.RouteAdd(&netlink.Route{LinkIndex: vx.Attrs().Index, Dst: &net.IPNet{IP: make(net.IP, 16), Mask: make(net.IPMask, 16)}}))
	to := func(a string) []byte { return frame6(vmMAC, vmA6, netip.MustParseAddr(a), udp, ports(1, 2)) }
	if got := l.counted(l.tap, to("fd00:c0de::dead"), to("fd00:c0de:0:0:8000::1")); got["ip6/refused"] != 2 {
		t.Errorf("counted %v", got)
	}
	if got := l.counted(l.tap, to("2001:db8:ffff::1")); got["ip6/refused"] != 0 {
		t.Errorf("outside: counted %v", got)
	}
}

// TestVIPWithoutDevice has a VIP whose VM has no device: its private address would take the default route.
func TestVIPWithoutDevice(t *testing.T) {
	tenant := withVIPs()
	for i := range tenant.VIPs {
		tenant.VIPs[i].Shared = false
	}
	tenant.VIPs = slices.Delete(tenant.VIPs, 3, 4)
	for _, tenant := range []topology.Tenant{tenant, withVIPs()} {
		l := newLot(t, tenant)
		out, counted := l.pass(l.vx, reply(2100).with(func(f *frame) { f.destination = vipC1 }))
		want := []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 64 icmp 3/1 45.86.152.32>198.51.100.1 [udp 198.51.100.1:443>45.86.152.32:2100]"}
		if diff := cmp.Diff(want, out); diff != "" || counted["ip/unreachable"] != 1 {
			t.Errorf("counted %v; what came out (-want +got):\n%s", counted, diff)
		}
	}
}

// TestVIPUnbound takes a VIP away, first halfway: what was kept out of conntrack does not leave as it is.
func TestVIPUnbound(t *testing.T) {
	l := newLot(t, withVIPs())
	l.nft("delete element ip culvert vip_out { 10.0.0.12 }")
	l.expect(l.tap, nil, counts{"ip/private": 1}, request(40000))
	l.become(Desired(hypervisor()))
	l.leaves(request(40000))
	l.expect(l.vx, nil, counts{"ip/bounced": 1}, reply(2100).with(func(f *frame) { f.destination = vipA }))
}
