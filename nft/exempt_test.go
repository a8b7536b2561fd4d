package nft

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// office is an exempt destination.
var office = netip.MustParseAddr("10.9.0.5")

// exempting is hv1 of a tenant with exempt destinations; edge2 is the same tenant on an edge that is a hypervisor.
func exempting() topology.Tenant {
	t := hypervisor()
	t.NAT.Exempt = exempt
	return t
}

func exemptingBoth() topology.Tenant {
	t := exempting()
	t.Edge, t.NAT.Exempted = true, exempted(t)
	return t
}

// answer is what comes back from the office.
func answer(f frame, from, to [6]byte) frame {
	return frame{from: from, to: to, source: f.destination, destination: f.source, ttl: 60, protocol: udp, payload: ports(443, 40000)}
}

// TestExempt follows a flow to an exempt destination out and back: its addresses and port stay, and no port of a block is used.
func TestExempt(t *testing.T) {
	for name, tt := range map[string]struct {
		tenant  topology.Tenant
		out     string
		gateway [2][6]byte // of what comes back: from, to
		in      func(*lot) *wire
	}{
		"hypervisor": {exempting(), "vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 63 udp 10.0.0.12:40000>10.9.0.5:443", [2][6]byte{edge1MAC, hv1MAC}, func(l *lot) *wire { return l.vx }},
		"both": {exemptingBoth(), "uplink 02:63:76:ff:ff:fd>02:63:76:ff:ff:fc ttl 63 udp 10.0.0.12:40000>10.9.0.5:443",
			[2][6]byte{topology.UplinkHostMAC, topology.UplinkTenantMAC}, func(l *lot) *wire { return l.uplink }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLot(t, tt.tenant)
			f := request(40000).with(func(f *frame) { f.destination = office })
			back := answer(f, tt.gateway[0], tt.gateway[1])
			l.expect(tt.in(l), nil, counts{unsolicitedAt(tt.tenant): 1}, back)
			l.expect(l.tap, []string{tt.out}, nil, f)
			l.expect(l.tap, []string{tt.out}, nil, f)
			l.expect(tt.in(l), []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 10.9.0.5:443>10.0.0.12:40000"}, nil, back)
			l.expect(l.vx, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 10.9.0.5:443>10.0.0.12:40000"}, nil, answer(f, edge1MAC, hv1MAC))
			// Another port of the office has nothing to answer, and others nothing at all.
			l.expect(tt.in(l), nil, counts{unsolicitedAt(tt.tenant): 2}, back.with(func(f *frame) { f.payload = ports(444, 40000) }), back.with(func(f *frame) { f.source = server }))
			// Everything else is translated.
			l.leaves(request(40000))
		})
	}
}

// unsolicitedAt is the counter of what comes from outside for a private address.
func unsolicitedAt(t topology.Tenant) string {
	if t.Edge {
		return "ip/unknown"
	}
	return "ip/unsolicited"
}

// TestExemptErrors lets in errors about an exempt flow, whichever router they are from, and no others.
func TestExemptErrors(t *testing.T) {
	l := newLot(t, exempting())
	f := request(40000).with(func(f *frame) { f.destination = office })
	l.pass(l.tap, f)
	about := f.with(func(f *frame) { f.ttl = 1 })
	trouble := frame{from: edge1MAC, to: hv1MAC, source: server, destination: vmA, ttl: 60, protocol: icmpProtocol, payload: icmpError(11, 0, about)}
	l.expect(l.vx, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 icmp 11/0 198.51.100.1>10.0.0.12 [udp 10.0.0.12:40000>10.9.0.5:443]"}, nil, trouble)
	other := about.with(func(f *frame) { f.payload = ports(40001, 443) })
	l.expect(l.vx, nil, counts{"ip/invalid": 1}, trouble.with(func(f *frame) { f.payload = icmpError(11, 0, other) }))
}

// TestExemptTransit passes other hosts' exempt packets through an edge that is a hypervisor, without an entry.
func TestExemptTransit(t *testing.T) {
	l := newLot(t, exemptingBoth())
	out := frame{from: hv2MAC, to: hv1MAC, source: vmB, destination: office, ttl: 62, protocol: udp, payload: ports(40000, 443)}
	l.expect(l.vx, []string{"uplink 02:63:76:ff:ff:fd>02:63:76:ff:ff:fc ttl 61 udp 10.0.0.47:40000>10.9.0.5:443"}, nil, out)
	l.expect(l.vx, nil, counts{"ip/foreign_source": 1}, out.with(func(f *frame) { f.destination = server }))
	l.expect(l.vx, nil, counts{"ip/foreign_source": 1}, out.with(func(f *frame) { f.source = netip.MustParseAddr("10.0.0.48") }))
	in := answer(out, topology.UplinkHostMAC, topology.UplinkTenantMAC)
	l.expect(l.uplink, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 59 udp 10.9.0.5:443>10.0.0.47:40000"}, nil, in)
	l.expect(l.uplink, nil, counts{"ip/unknown": 1}, in.with(func(f *frame) { f.source = server }))
	if n := l.entries(); n != 0 {
		t.Errorf("conntrack has %d entries", n)
	}
}

// TestExemptTooBig answers from outside do not fit the VM's link: the host's error comes from the VM's address, which alone means
// something where exempt destinations are, and says how large a packet may be.
func TestExemptTooBig(t *testing.T) {
	for name, tenant := range map[string]topology.Tenant{"alone": exempting(), "beside VIPs": withVIPs()} {
		t.Run(name, func(t *testing.T) {
			tenant.NAT.Sources = exempting().NAT.Sources
			tenant.VIPs = slices.DeleteFunc(slices.Clone(tenant.VIPs), func(v topology.VIP) bool { return v.Private == vmA })
			l := newLot(t, tenant)
			tap, err := l.link.LinkByName("tap-a")
			must(t, err)
			must(t, l.link.LinkSetMTU(tap, 1300))
			f := request(40000).with(func(f *frame) { f.destination = office })
			l.pass(l.tap, f)
			large := answer(f, edge1MAC, hv1MAC).with(func(f *frame) { f.fragment, f.payload = 0x4000, ports(443, 40000, make([]byte, 1392)...) })
			l.expect(l.vx, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 64 icmp 3/4 10.0.0.12>10.9.0.5 [udp 10.9.0.5:443>10.0.0.12:40000]"}, nil, large)
			// About nothing that the VM has begun: nobody hears of it.
			l.expect(l.vx, nil, counts{"ip/unsolicited": 1}, answer(f, edge1MAC, hv1MAC).with(func(f *frame) { f.payload = ports(444, 40000) }))
		})
	}
}
