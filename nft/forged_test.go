package nft

import (
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// TestForgedFromOutside sends to VIPs, to one of several and to a load balancer what claims to be from inside.
func TestForgedFromOutside(t *testing.T) {
	forged := counts{"ip/forged": 1}
	for name, tt := range map[string]struct {
		tenant topology.Tenant
		vip    netip.Addr
		out    string // what a packet from outside arrives as
	}{
		"VIP":                      {withVIPs(), vipA, "tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:2100"},
		"one of several":           {sharing(vipA, vipC1), vipA, "tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:2100"},
		"an edge and hypervisor's": {withVIPsBoth(), vipA, "tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:2100"},
		"load balancer":            {backendHost(), public, "tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:443"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLot(t, tt.tenant)
			in, wire := reply(2100).with(func(f *frame) { f.destination = tt.vip }), l.vx
			if tt.tenant.Edge {
				in.from, in.to, wire = topology.UplinkHostMAC, topology.UplinkTenantMAC, l.uplink
			}
			if tt.vip == public {
				// As a node sends it, to a backend's MAC.
				in.from, in.to, in.payload = topology.RouterMAC(6), topology.BackendMAC(1), ports(443, 443)
			}
			from := func(a netip.Addr) frame { return in.with(func(f *frame) { f.source = a }) }
			l.expect(wire, nil, forged, from(vmB))
			l.expect(wire, nil, forged, from(vmA))
			l.expect(wire, nil, forged, from(netip.MustParseAddr("100.64.0.2")))
			l.expect(wire, nil, forged, from(vmB).with(func(f *frame) { f.fragment = 5 }))
			if n := l.entries(); n != 0 {
				t.Errorf("conntrack has %d entries", n)
			}
			l.expect(wire, []string{tt.out}, nil, in)
			if tt.vip == public {
				return
			}
			// Errors of hosts of the tenant, about what the VM has sent.
			sent := frame{source: vipA, destination: server, ttl: 60, protocol: udp, payload: ports(2100, 443)}
			out, _ := l.pass(wire, from(netip.MustParseAddr("100.64.0.3")).with(func(f *frame) { f.protocol, f.payload = icmpProtocol, icmpError(11, 0, sent) }))
			if len(out) != 1 {
				t.Errorf("out of an edge's error came %q", out)
			}
		})
	}
}

// TestForgedFromOutside6 is the same for VIPs of IPv6.
func TestForgedFromOutside6(t *testing.T) {
	l := newLot(t, withVIPs())
	setSysctls(t, l.ns, "net/ipv6/conf/vx100/accept_dad=0", "net/ipv6/conf/vx100/disable_ipv6=0")
	to := func(source string) []byte {
		b := frame6(edge1MAC, netip.MustParseAddr(source), vipA6, udp, ports(1, 2))
		copy(b, hv1MAC[:])
		return b
	}
	if got := l.counted(l.vx, to("fd00::47"), to("fd00::12"), to("fd00:c0de::2")); got["ip6/forged"] != 3 {
		t.Errorf("counted %v", got)
	}
	if got := l.counted(l.vx, to("2001:db8::31"), to("2001:db8:ffff::1")); got["ip6/forged"] != 0 {
		t.Errorf("from public addresses: counted %v", got)
	}
}
