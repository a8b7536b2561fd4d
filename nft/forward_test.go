package nft

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

type counts = map[string]uint64

// request is a datagram of the VM for the server.
func request(port uint16) frame {
	return frame{from: vmMAC, to: topology.GatewayMAC, source: vmA, destination: server, ttl: 64, protocol: udp, payload: ports(port, 443)}
}

// ping is an echo request of the VM for the server.
func ping(id uint16) frame {
	f := request(0)
	f.protocol, f.payload = icmpProtocol, echo(8, id)
	return f
}

var translatedPort = regexp.MustCompile(`45\.86\.152\.23:(\d+)>|id (\d+) `)

// leaves sends a frame of the VM's that must leave translated, and returns the port or identifier that it got.
func (l *lot) leaves(f frame) uint16 {
	l.Helper()
	out, counted := l.pass(l.tap, f)
	if len(out) != 1 || len(counted) != 0 {
		l.Fatalf("out came %q, counted %v; want one translated packet", out, counted)
	}
	m := translatedPort.FindStringSubmatch(out[0])
	if m == nil {
		l.Fatalf("out came %q, untranslated", out[0])
	}
	port, err := strconv.ParseUint(m[1]+m[2], 10, 16)
	must(l, err)
	return uint16(port)
}

// TestTranslate follows one flow of every protocol out and back.
func TestTranslate(t *testing.T) {
	l := newLot(t, hypervisor())
	for name, f := range map[string]frame{
		"udp":  request(40000),
		"tcp":  request(0).with(func(f *frame) { f.protocol, f.payload = tcp, segment(40001, 443, 0x02, 1, 0, 1200) }),
		"sctp": request(0).with(func(f *frame) { f.protocol, f.payload = sctp, append(ports(40002, 443), make([]byte, 4)...) }),
		"ping": request(0).with(func(f *frame) { f.protocol, f.payload = icmpProtocol, echo(8, 40003) }),
	} {
		t.Run(name, func(t *testing.T) {
			l.TB = t
			if name == "sctp" {
				// An INIT chunk (RFC 9260 section 3.3.2): the verification tag is 0.
				f.payload = append([]byte{0x9c, 0x42, 0x01, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0}, 1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1)
			}
			port := l.leaves(f)
			if port < 1024 || port > 2047 {
				t.Errorf("port %d is not in the block", port)
			}
		})
	}
	l.TB = t
	port := l.leaves(request(41000))
	l.expect(l.vx, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:41000"}, nil, reply(port))
	// Whoever sends it: only a redirect needs to come from an edge.
	l.expect(l.vx, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:41000"}, nil,
		reply(port).with(func(f *frame) { f.from = hv2MAC }))
	// The mapping is the endpoint's (RFC 4787 REQ-1): another destination sees the same port.
	if other := l.leaves(request(41000).with(func(f *frame) { f.destination = netip.MustParseAddr("198.51.100.2") })); other != port {
		t.Errorf("another destination sees port %d, not %d", other, port)
	}
}

// TestGrownSource follows flows of an interface whose slots are dealt over two blocks.
func TestGrownSource(t *testing.T) {
	tenant := perInterface()
	tenant.NAT.Sources[0], tenant.NAT.Sources[1] = topology.Source{Address: vmC, Blocks: tenant.NAT.Sources[0].Blocks}, topology.Source{Address: vmA, Blocks: tenant.NAT.Sources[1].Blocks}
	tenant.Interfaces[0].Addresses = append(tenant.Interfaces[0].Addresses, vmC)
	l := newLot(t, tenant)
	for name, first := range map[string]func(uint16) frame{"udp": request, "echo": ping} {
		used := make(map[uint16]int)
		for i := range uint16(60) {
			port := l.leaves(first(40000 + i))
			if (port < 4096 || port > 4159) && (port < 5120 || port > 5247) {
				t.Errorf("%s: port %d is in no block of the source", name, port)
			}
			used[port&0xfc00]++
		}
		if len(used) != 2 {
			t.Errorf("%s: of two blocks these are used: %v", name, used)
		}
	}
	// The other source has one block.
	if port := l.leaves(request(40000).with(func(f *frame) { f.source = vmC })); port < 1024 || port > 2047 {
		t.Errorf("port %d is not in the block", port)
	}
}

// TestEchoSlots follows echo requests of a host with several blocks: identifiers spread over all of them, and one identifier
// has one outside for all destinations (RFC 5508 REQ-1).
func TestEchoSlots(t *testing.T) {
	tenant := hypervisor()
	tenant.NAT.Sources[0].Blocks = []portmap.Block{block(1024, 1087), block(4096, 4159), block(5120, 5183), block(6144, 6207)}
	l := newLot(t, tenant)
	used := make(map[uint16]int)
	for i := range uint16(60) {
		id := l.leaves(ping(40000 + i))
		used[id&^63]++
		elsewhere := ping(40000 + i).with(func(f *frame) { f.destination = netip.MustParseAddr("198.51.100.2") })
		if other := l.leaves(elsewhere); other != id {
			t.Errorf("identifier %d is %d to one destination and %d to another", 40000+i, id, other)
		}
	}
	if len(used) != 4 {
		t.Errorf("of four blocks these are used: %v", used)
	}
}

// TestClamp sends the segments that open a connection, with an MSS that does not fit the VXLAN device's MTU of 1450.
func TestClamp(t *testing.T) {
	l := newLot(t, hypervisor())
	syn := request(0).with(func(f *frame) { f.protocol, f.payload = tcp, segment(40000, 443, 0x02, 100, 0, 1460) })
	out, _ := l.pass(l.tap, syn)
	if len(out) != 1 || !regexp.MustCompile(`^vx100 .* mss 1410$`).MatchString(out[0]) {
		t.Fatalf("out came %q, want MSS 1410", out)
	}
	m := translatedPort.FindStringSubmatch(out[0])
	port, err := strconv.ParseUint(m[1], 10, 16)
	must(t, err)
	answer := func(flags byte, seq, ack uint32, mss uint16) frame {
		return reply(0).with(func(f *frame) { f.protocol, f.payload = tcp, segment(443, uint16(port), flags, seq, ack, mss) })
	}
	l.expect(l.vx, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 tcp 198.51.100.1:443>10.0.0.12:40000 mss 1410"}, nil, answer(0x12, 500, 101, 1460))
	// A smaller one stays, in a retransmission.
	l.expect(l.vx, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 tcp 198.51.100.1:443>10.0.0.12:40000 mss 536"}, nil, answer(0x12, 500, 101, 536))

	// Out of the window: invalid to conntrack, which then does not translate. Nothing leaves, nothing arrives.
	l.leaves(request(0).with(func(f *frame) { f.protocol, f.payload = tcp, segment(40000, 443, 0x10, 101, 501, 1460) }))
	l.expect(l.tap, nil, counts{"ip/invalid": 1}, request(0).with(func(f *frame) { f.protocol, f.payload = tcp, segment(40000, 443, 0x10, 1_000_000_000, 501, 1460) }))
	l.expect(l.vx, nil, counts{"ip/unknown": 1}, answer(0x10, 1_000_000_000, 101, 1460))
}

// TestNothingPrivateLeaves sends what a VM may try.
func TestNothingPrivateLeaves(t *testing.T) {
	const told = "tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 64 icmp 3/13 100.64.0.1>10.0.0.12 "
	l := newLot(t, hypervisor())
	from := func(source string) frame {
		return request(40000).with(func(f *frame) { f.source = netip.MustParseAddr(source) })
	}
	of := func(protocol byte, payload []byte) frame {
		return request(0).with(func(f *frame) { f.protocol, f.payload = protocol, payload })
	}
	for _, tt := range []struct {
		name  string
		frame frame
		out   []string
		want  counts
	}{
		{"GRE", of(unix.IPPROTO_GRE, []byte{0, 0, 8, 0}), []string{told + "[ 10.0.0.12:0>198.51.100.1:2048]"}, counts{"ip/refused": 1}},
		{"ESP", of(unix.IPPROTO_ESP, ports(1, 2)), []string{told + "[ 10.0.0.12:1>198.51.100.1:2]"}, counts{"ip/refused": 1}},
		// The kernel does not answer what has no checksum that it knows.
		{"a protocol for experiments", of(253, ports(1, 2)), nil, counts{"ip/refused": 1}},
		{"a timestamp request", of(icmpProtocol, append([]byte{13, 0, 0, 0, 0, 1, 0, 1}, make([]byte, 12)...)), []string{told + "[icmp 13 10.0.0.12>198.51.100.1]"}, counts{"ip/refused": 1}},
		// Record route, 3 addresses (RFC 791 section 3.1): the namespace would write its own into them.
		{"IP options", request(40000).with(func(f *frame) { f.options = []byte{7, 15, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} }), []string{told + "[udp 10.0.0.12:40000>198.51.100.1:443]"}, counts{"ip/refused": 1}},
		{"an echo reply that nobody asked for", of(icmpProtocol, echo(0, 7)), nil, counts{"ip/invalid": 1}},
		{"an error about nothing", of(icmpProtocol, icmpError(3, 1, about(udp, ports(9, 9)))), nil, counts{"ip/invalid": 1}},
		{"impossible TCP flags", of(tcp, segment(40000, 443, 0x03, 1, 0, 1460)), nil, counts{"ip/invalid": 1}},
		// A source that is not the VM's gets no answer.
		{"an address that nobody has", from("10.0.0.66"), nil, counts{"ip/spoofed": 1}},
		{"the public address", from("45.86.152.23"), nil, counts{"ip/spoofed": 1}},
		{"an outside address", from("203.0.113.9"), nil, counts{"ip/spoofed": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.TB = t
			before := l.entries()
			l.expect(l.tap, tt.out, tt.want, tt.frame)
			if n := l.entries(); n != before {
				t.Errorf("conntrack had %d entries and has %d", before, n)
			}
		})
	}
}

// TestErrors follows ICMP errors about a translated flow: one of the VM's, one that this host makes itself, one from outside.
func TestErrors(t *testing.T) {
	l := newLot(t, hypervisor())
	port := l.leaves(request(40000))
	quoted := "[udp 198.51.100.1:443>45.86.152.23:" + strconv.Itoa(int(port)) + "]"
	arrived := frame{source: server, destination: vmA, ttl: 59, protocol: udp, payload: ports(443, 40000)}
	l.expect(l.tap, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 63 icmp 3/3 45.86.152.23>198.51.100.1 " + quoted}, nil,
		request(0).with(func(f *frame) { f.protocol, f.payload = icmpProtocol, icmpError(3, 3, arrived) }))
	l.expect(l.vx, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 64 icmp 11/0 45.86.152.23>198.51.100.1 " + quoted}, nil,
		reply(port).with(func(f *frame) { f.ttl = 1 }))
	l.expect(l.vx, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 icmp 3/0 203.0.113.7>10.0.0.12 [udp 10.0.0.12:40000>198.51.100.1:443]"}, nil,
		failing(3, about(udp, ports(port, 443))))
}

// TestFragmentsOut shows that fragments of a VM leave translated.
func TestFragmentsOut(t *testing.T) {
	l := newLot(t, hypervisor())
	whole := ports(40000, 443, make([]byte, 1992)...)
	first := request(0).with(func(f *frame) { f.payload, f.fragment, f.id = whole[:1400], 0x2000, 7 })
	last := request(0).with(func(f *frame) { f.payload, f.fragment, f.id = whole[1400:], 1400/8, 7 })
	out, counted := l.pass(l.tap, first, last)
	if len(out) != 2 || len(counted) != 0 || !translatedPort.MatchString(out[0]) || !regexp.MustCompile(` 17 45\.86\.152\.23>`).MatchString(out[1]) {
		t.Errorf("out came %q, counted %v", out, counted)
	}
	l.expect(l.tap, nil, nil, last.with(func(f *frame) { f.id = 8 }))
}

// TestInside follows traffic between VMs, also with one on a host that is an edge.
func TestInside(t *testing.T) {
	l := newLot(t, hypervisor())
	to := func(vm netip.Addr) frame { return request(40000).with(func(f *frame) { f.destination = vm }) }
	arriving := func(from frame, vm netip.Addr) frame {
		return from.with(func(f *frame) { f.source, f.destination, f.payload = vm, vmA, ports(5000, 6000) })
	}
	fromEdge2 := reply(0).with(func(f *frame) { f.from = edge2MAC })
	l.expect(l.tap, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 63 udp 10.0.0.12:40000>10.0.0.47:443"}, nil, to(vmB))
	const toEdge2 = "vx100 02:63:76:00:00:01>02:63:76:00:00:04 ttl 63 "
	l.expect(l.tap, []string{toEdge2 + "udp 10.0.0.12:40000>10.0.0.99:443", toEdge2 + "udp 10.0.0.12:40000>10.0.0.99:443"}, nil, to(vmE), to(vmE))
	l.expect(l.tap, []string{toEdge2 + " 10.0.0.12:0>10.0.0.99:2048"}, nil, to(vmE).with(func(f *frame) { f.protocol, f.payload = unix.IPPROTO_GRE, []byte{0, 0, 8, 0} }))
	l.expect(l.vx, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 10.0.0.99:5000>10.0.0.12:6000"}, nil, arriving(fromEdge2, vmE))
	l.expect(l.vx, nil, counts{"ip/unsolicited": 1}, arriving(fromEdge2, netip.MustParseAddr("203.0.113.9")))
	l.expect(l.vx, nil, counts{"ip/unsolicited": 1}, arriving(reply(0), netip.MustParseAddr("203.0.113.9")))
	// A VM that is not here: the maps are of different ages.
	l.expect(l.vx, nil, counts{"ip/bounced": 1}, reply(0).with(func(f *frame) { f.from, f.source, f.destination = hv2MAC, vmE, vmB }))
}

// TestUntranslatedFlow takes the destination of a flow out of the tenant: the flow must not go on outside, where the
// default route leads.
func TestUntranslatedFlow(t *testing.T) {
	l := newLot(t, hypervisor())
	f := request(40000).with(func(f *frame) { f.destination = vmB })
	l.expect(l.tap, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 63 udp 10.0.0.12:40000>10.0.0.47:443"}, nil, f)
	vx, err := l.link.LinkByName("vx100")
	must(t, err)
	must(t, l.link.RouteDel(&netlink.Route{LinkIndex: vx.Attrs().Index, Dst: &net.IPNet{IP: vmB.AsSlice(), Mask: net.CIDRMask(32, 32)}}))
	without := hypervisor()
	without.Remote = without.Remote[1:]
	observed, err := l.conn.Observe()
	must(t, err)
	must(t, l.conn.Apply(Diff(observed, Desired(without))))
	l.expect(l.tap, nil, counts{"ip/untranslated": 1}, f)
}

// TestNoPublicAddresses is a host that has been told that the tenant has none any more, while its uplink is there yet and
// another host goes on sending. Nobody outside hears of it.
func TestNoPublicAddresses(t *testing.T) {
	tenant := both()
	tenant.NAT = nil
	l := newLot(t, tenant)
	leaving := frame{from: hv2MAC, to: hv1MAC, source: public, destination: server, ttl: 60, protocol: udp, payload: ports(2100, 443)}
	outside := frame{from: topology.UplinkHostMAC, to: topology.UplinkTenantMAC, source: server, destination: public, ttl: 60, protocol: udp, payload: ports(443, 2100)}
	l.expect(l.vx, nil, counts{"ip/unsolicited": 1}, leaving)
	l.expect(l.uplink, nil, counts{"ip/unsolicited": 1}, outside)
	l.expect(l.vx, nil, counts{"ip/own_traffic": 1}, leaving.with(func(f *frame) { f.ttl = 1 }))
	// The VM is told.
	l.expect(l.tap, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 64 icmp 3/1 100.64.0.1>10.0.0.12 [udp 10.0.0.12:40000>198.51.100.1:443]"}, counts{"ip/unreachable": 1}, request(40000))
}

// TestEdge passes the tenant's public addresses and nothing else.
func TestEdge(t *testing.T) {
	l := newLot(t, edge())
	outside := frame{from: topology.UplinkHostMAC, to: topology.UplinkTenantMAC, source: server, destination: public, ttl: 60, protocol: udp, payload: ports(443, 2100)}
	leaving := frame{from: hv2MAC, to: hv1MAC, source: public, destination: server, ttl: 60, protocol: udp, payload: ports(2100, 443)}
	l.expect(l.uplink, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 59 udp 198.51.100.1:443>45.86.152.23:2100"}, nil, outside)
	l.expect(l.vx, []string{"uplink 02:63:76:ff:ff:fd>02:63:76:ff:ff:fc ttl 59 udp 45.86.152.23:2100>198.51.100.1:443"}, nil, leaving)
	l.expect(l.vx, nil, counts{"ip/foreign_source": 1}, leaving.with(func(f *frame) { f.source = vmB }))
	// VMs of the tenant that talk to the tenant's own public addresses.
	l.expect(l.vx, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 59 udp 45.86.152.23:2100>45.86.152.23:443"}, nil,
		leaving.with(func(f *frame) { f.destination = public }))
	l.expect(l.vx, nil, counts{"ip/not_forwardable": 1}, leaving.with(func(f *frame) { f.source, f.destination = vmB, public }))
	l.expect(l.uplink, nil, counts{"ip/not_forwardable": 1}, outside.with(func(f *frame) { f.destination = vmB }))
	l.expect(l.vx, nil, counts{"netdev/stranger": 1}, leaving.with(func(f *frame) { f.from = alienMAC }))
	// Its own errors have overlay addresses.
	l.expect(l.uplink, nil, counts{"ip/own_traffic": 1}, outside.with(func(f *frame) { f.ttl = 1 }))
}

// TestBoth is a host that is a hypervisor and an edge: its own flows, other hosts' flows both ways.
func TestBoth(t *testing.T) {
	l := newLot(t, both())
	outside := frame{from: topology.UplinkHostMAC, to: topology.UplinkTenantMAC, source: server, destination: public, ttl: 60, protocol: udp, payload: ports(443, 2100)}
	leaving := frame{from: hv2MAC, to: hv1MAC, source: public, destination: server, ttl: 60, protocol: udp, payload: ports(2100, 443)}
	l.expect(l.uplink, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 59 udp 198.51.100.1:443>45.86.152.23:2100"}, counts{"netdev/redirected": 1}, outside)
	l.expect(l.uplink, nil, counts{"ip/unknown": 1}, outside.with(func(f *frame) { f.payload = ports(443, 1100) }))
	l.expect(l.vx, []string{"uplink 02:63:76:ff:ff:fd>02:63:76:ff:ff:fc ttl 59 udp 45.86.152.23:2100>198.51.100.1:443"}, nil, leaving)
	l.expect(l.vx, nil, counts{"ip/foreign_source": 1}, leaving.with(func(f *frame) { f.source = vmB }))
	if n := l.entries(); n != 0 {
		t.Errorf("conntrack has %d entries of other hosts' flows", n)
	}
	// The MAC of what comes from the host itself counts on the uplink alone.
	l.expect(l.vx, nil, counts{"netdev/stranger": 1}, outside)
	port := l.leaves(request(40000))
	l.expect(l.uplink, []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:40000"}, nil,
		outside.with(func(f *frame) { f.payload = ports(443, port) }))
}
