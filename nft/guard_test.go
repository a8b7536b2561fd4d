package nft

import (
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// guarded is hv1 with its peers.
func guarded() topology.Host {
	return topology.Host{
		Name: "hv1", Underlay: netip.MustParseAddr("192.0.2.1"), Port: 4789, Tenants: []topology.Tenant{hypervisor()},
		Underlays: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")},
	}
}

func guarded6() topology.Host {
	h := guarded()
	h.Underlay, h.Underlays = netip.MustParseAddr("2001:db8::1"), []netip.Addr{netip.MustParseAddr("2001:db8::2")}
	return h
}

// guardedEdge is an edge of two tenants with public addresses of their own.
func guardedEdge() topology.Host {
	h := guarded()
	blue := edge()
	blue.Name, blue.VNI, blue.NAT = "blue", 200, &topology.NAT{Addresses: []netip.Addr{publicBlue}}
	h.Uplink, h.Tenants = "eth1", []topology.Tenant{vipEdge(), blue}
	return h
}

// TestGuard goes from nothing to a guard, to another fleet and back, beside tables of somebody else.
func TestGuard(t *testing.T) {
	s := newStage(t)
	s.nft("add table ip culvert_not; add chain ip culvert_not c; add table inet filter; add chain inet filter input { type filter hook input priority 0; }")
	foreign := s.nft("list", "ruleset")
	for _, h := range []topology.Host{guarded(), guarded6(), guardedEdge()} {
		desired := Guard(h)
		s.become(desired)
		raw := ""
		for _, table := range desired {
			raw += s.nft("list", "table", table.Family.String(), TableName)
		}
		if diff := cmp.Diff(normal(raw), normal(printed(desired))); diff != "" {
			t.Errorf("the printed tables are not what nft lists (-nft +ours):\n%s", diff)
		}
		everyRule(t, raw, desired)
		h.Underlays = h.Underlays[:1]
		s.become(Guard(h))
	}
	h := guarded()
	h.Tenants = nil
	s.become(Guard(h))
	if got := s.nft("list", "ruleset"); got != foreign {
		t.Errorf("what is left is not what was there before:\n%s", cmp.Diff(foreign, got))
	}
}

// TestGuardLeavesOthersAlone has no rule that could match what neither is VXLAN for this host nor has to do with a tenant.
func TestGuardLeavesOthersAlone(t *testing.T) {
	const vxlan = "udp dport 4789 "
	for _, h := range []topology.Host{guarded(), guarded6(), guardedEdge()} {
		for _, table := range Guard(h) {
			for _, c := range table.Chains {
				if c.Name == chainFromOutside {
					continue // tenants' packets alone
				}
				if c.Base.Drop {
					t.Errorf("chain %s drops what no rule decides on", c.Name)
				}
				for _, r := range c.Rules {
					ours := strings.HasPrefix(r.Text, vxlan) && strings.Contains(r.Text, "fib daddr type != unicast ") ||
						strings.HasSuffix(r.Text, " accept") || strings.HasSuffix(r.Text, " daddr @tenants goto from_outside") ||
						strings.HasPrefix(r.Text, "ether saddr 02:63:76:ff:ff:fd ") || strings.HasPrefix(r.Text, "oifname @tenant_ports ")
					if !ours {
						t.Errorf("%s matches others' packets", r.Text)
					}
				}
			}
		}
	}
}

var publicBlue = netip.MustParseAddr("45.86.152.99")

// yard is an edge's own namespace with cables to a second one.
type yard struct {
	*lot
	uplink, management, acme, blue *wire
}

// newYard makes the namespace as the overlay's room and an operator would. It forwards between all devices.
func newYard(t *testing.T, h topology.Host) *yard {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	oneCPU(t)
	ns, link := newNamespace(t)
	farNS, farLink := newNamespace(t)
	s := &stage{TB: t, ns: ns, link: link}
	setSysctls(t, farNS, "net/ipv6/conf/default/disable_ipv6=1")
	setSysctls(t, ns, "net/ipv6/conf/default/disable_ipv6=1", "net/ipv4/conf/all/rp_filter=0", "net/ipv4/conf/default/rp_filter=0",
		"net/ipv4/conf/all/send_redirects=0", "net/ipv4/icmp_ratelimit=0", "net/ipv4/ip_forward=1")
	y := &yard{
		lot:    &lot{stage: s},
		uplink: s.cable(farNS, farLink, "eth1", hostMAC, 1500), management: s.cable(farNS, farLink, "eth0", hostMAC, 1500),
		acme: s.cable(farNS, farLink, "cv100", topology.UplinkHostMAC, 1450), blue: s.cable(farNS, farLink, "cv200", topology.UplinkHostMAC, 1450),
	}
	y.wires = []*wire{y.uplink, y.management, y.acme, y.blue}
	// Without an address there is no local table, and without that no gateway is valid.
	must(t, link.AddrAdd(y.device("eth0"), &netlink.Addr{IPNet: &net.IPNet{IP: h.Underlay.AsSlice(), Mask: net.CIDRMask(32, 32)}}))
	for prefix, device := range map[string]string{
		"0.0.0.0/0": "eth1", "192.0.2.0/24": "eth0", "45.86.152.23/32": "cv100", "45.86.152.30/32": "cv100", "45.86.152.99/32": "cv200",
	} {
		p := netip.MustParsePrefix(prefix)
		gateway := netip.MustParseAddr("169.254.99.2")
		must(t, link.NeighSet(&netlink.Neigh{LinkIndex: y.device(device).Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: gateway.AsSlice(), HardwareAddr: farMAC[:]}))
		must(t, link.RouteAdd(&netlink.Route{
			LinkIndex: y.device(device).Attrs().Index, Dst: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)},
			Gw: gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		}))
	}
	s.dial()
	s.become(Guard(h))
	return y
}

func (y *yard) device(name string) netlink.Link {
	y.Helper()
	l, err := y.link.LinkByName(name)
	must(y, err)
	return l
}

var hostMAC, farMAC = config.MAC{2, 0, 0, 0, 0, 1}, config.MAC{2, 0, 0, 0, 0, 2}

// TestGuardForwards sends what passes an edge's own namespace, and what must not.
func TestGuardForwards(t *testing.T) {
	y := newYard(t, guardedEdge())
	mgmt := netip.MustParseAddr("192.0.2.77")
	outward := frame{from: topology.UplinkTenantMAC, to: topology.UplinkHostMAC, source: public, destination: server, ttl: 60, protocol: udp, payload: ports(2100, 443)}
	inward := frame{from: farMAC, to: hostMAC, source: server, destination: public, ttl: 60, protocol: udp, payload: ports(443, 2100)}
	out := func(change func(*frame)) frame { return outward.with(change) }
	in := func(change func(*frame)) frame { return inward.with(change) }
	const sent = " 02:00:00:00:00:01>02:00:00:00:00:02 ttl 59 udp "
	const toTenant = " 02:63:76:ff:ff:fc>02:00:00:00:00:02 ttl 59 udp "
	for _, tt := range []struct {
		name  string
		wire  *wire
		frame frame
		out   []string
		want  counts
	}{
		{"a tenant to the outside", y.acme, outward, []string{"eth1" + sent + "45.86.152.23:2100>198.51.100.1:443"}, nil},
		{"from the tenant's own address", y.uplink, in(func(f *frame) { f.source = vipA }), nil, counts{"ip/forged": 1}},
		{"from another tenant's address, by another edge", y.uplink, in(func(f *frame) { f.source = publicBlue }), []string{"cv100" + toTenant + "45.86.152.99:443>45.86.152.23:2100"}, nil},
		{"from a VM's gateway", y.uplink, in(func(f *frame) { f.source = netip.MustParseAddr("169.254.1.1") }), nil, counts{"ip/forged": 1}},
		{"from a host of the overlay", y.uplink, in(func(f *frame) { f.source = netip.MustParseAddr("100.64.0.1") }), nil, counts{"ip/forged": 1}},
		{"from a router with such an address", y.uplink, in(func(f *frame) {
			f.source, f.protocol, f.payload = netip.MustParseAddr("100.64.0.1"), icmpProtocol, icmpError(11, 0, about(udp, ports(2100, 443)))
		}), []string{"cv100 02:63:76:ff:ff:fc>02:00:00:00:00:02 ttl 59 icmp 11/0 100.64.0.1>45.86.152.23 [udp 45.86.152.23:2100>198.51.100.1:443]"}, nil},
		{"the outside to a tenant", y.uplink, inward, []string{"cv100" + toTenant + "198.51.100.1:443>45.86.152.23:2100"}, nil},
		{"a tenant to another", y.acme, out(func(f *frame) { f.destination = publicBlue }), []string{"cv200" + toTenant + "45.86.152.23:2100>45.86.152.99:443"}, nil},
		{"a tenant to itself", y.acme, out(func(f *frame) { f.destination = vipA }), []string{"cv100" + toTenant + "45.86.152.23:2100>45.86.152.30:443"}, nil},
		{"from another tenant's address", y.blue, outward, nil, counts{"ip/stray_out": 1}},
		{"from another tenant's address to a tenant", y.blue, out(func(f *frame) { f.destination = vipA }), nil, counts{"ip/stray_out": 1}},
		{"from a private address", y.acme, out(func(f *frame) { f.source = vmA }), nil, counts{"ip/stray_out": 1}},
		{"to the management network", y.acme, out(func(f *frame) { f.destination = mgmt }), nil, counts{"ip/stray_out": 1}},
		{"to a host of the fleet", y.acme, out(func(f *frame) { f.destination = netip.MustParseAddr("192.0.2.2") }), nil, counts{"ip/stray_out": 1}},
		{"to the edge itself", y.acme, out(func(f *frame) { f.destination = guardedEdge().Underlay }), nil, counts{"ip/to_host": 1}},
		{"everybody around", y.acme, out(func(f *frame) { f.destination = netip.MustParseAddr("255.255.255.255") }), nil, counts{"ip/to_host": 1}},
		{"the management network to a tenant", y.management, in(func(f *frame) { f.source = mgmt }), nil, counts{"ip/stray_in": 1}},
		{"the management network to the outside", y.management, in(func(f *frame) { f.source, f.destination = mgmt, server }), []string{"eth1" + sent + "192.0.2.77:443>198.51.100.1:2100"}, nil},
		{"the outside to the management network", y.uplink, in(func(f *frame) { f.destination = mgmt }), []string{"eth0" + sent + "198.51.100.1:443>192.0.2.77:2100"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			y.TB = t
			y.expect(tt.wire, tt.out, tt.want, tt.frame)
		})
	}
	y.TB = t
	// What the edge has to say to a tenant.
	y.expect(y.acme, []string{"cv100 02:63:76:ff:ff:fc>02:00:00:00:00:02 ttl 64 icmp 11/0 192.0.2.1>45.86.152.23 [udp 45.86.152.23:2100>198.51.100.1:443]"}, nil,
		out(func(f *frame) { f.ttl = 1 }))
}

// TestGuardWithoutTheRole takes the role of an edge from the host while all the devices and routes are still there.
func TestGuardWithoutTheRole(t *testing.T) {
	y := newYard(t, guardedEdge())
	y.become(Guard(guarded()))
	outward := frame{from: topology.UplinkTenantMAC, to: topology.UplinkHostMAC, source: public, destination: server, ttl: 60, protocol: udp, payload: ports(2100, 443)}
	y.expect(y.acme, nil, counts{"ip/stray_out": 1}, outward)
	y.expect(y.acme, nil, counts{"ip/stray_out": 1}, outward.with(func(f *frame) { f.destination = publicBlue }))
	y.expect(y.acme, nil, counts{"ip/to_host": 1}, outward.with(func(f *frame) { f.destination = guarded().Underlay }))
}
