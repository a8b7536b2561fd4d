package nft

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// reply is a datagram from outside for a port of the public address, as an edge sends it.
func reply(port uint16) frame {
	return frame{from: edge1MAC, to: hv1MAC, source: server, destination: public, ttl: 60, protocol: udp, payload: ports(443, port)}
}

// with changes a copy of a frame.
func (f frame) with(change func(*frame)) frame {
	f.payload = slices.Clone(f.payload)
	change(&f)
	return f
}

// about is a packet that left as the public address, for errors to quote.
func about(protocol byte, payload []byte) frame {
	return frame{source: public, destination: server, ttl: 1, protocol: protocol, payload: payload}
}

func failing(typ byte, quoted frame) frame {
	f := reply(0)
	f.source, f.protocol, f.payload = netip.MustParseAddr("203.0.113.7"), icmpProtocol, icmpError(typ, 0, quoted)
	return f
}

// TestRedirect sends what an edge may send and looks where it goes. Blocks: 1024-2047 own, 2048-3071 hv2's, 3072-3135
// edge2's, 3136 and up nobody's.
func TestRedirect(t *testing.T) {
	const toHV2, toEdge2 = "vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 59 ", "vx100 02:63:76:00:00:01>02:63:76:00:00:04 ttl 59 "
	redirected, unknown := counts{"netdev/redirected": 1}, counts{"ip/unknown": 1}
	options := []byte{0x94, 4, 0, 0} // router alert (RFC 2113)
	l := newLot(t, hypervisor())
	for _, tt := range []struct {
		name  string
		frame frame
		out   string
		want  counts
	}{
		{"other's first port", reply(2048), toHV2 + "udp 198.51.100.1:443>45.86.152.23:2048", redirected},
		{"other's last port", reply(3071), toHV2 + "udp 198.51.100.1:443>45.86.152.23:3071", redirected},
		{"the next one's port", reply(3072), toEdge2 + "udp 198.51.100.1:443>45.86.152.23:3072", redirected},
		{"tcp", reply(0).with(func(f *frame) { f.protocol, f.payload = tcp, segment(443, 2100, 0x10, 1, 1, 1460) }),
			toHV2 + "tcp 198.51.100.1:443>45.86.152.23:2100 mss 1460", redirected},
		{"sctp", reply(2100).with(func(f *frame) { f.protocol = sctp }), toHV2 + "sctp 198.51.100.1:443>45.86.152.23:2100", redirected},
		{"with IP options", reply(2100).with(func(f *frame) { f.options = options }), toHV2 + "udp 198.51.100.1:443>45.86.152.23:2100", redirected},
		{"own block without a flow", reply(1024), "", unknown},
		{"own block's last port", reply(2047), "", unknown},
		{"nobody's port", reply(3136), "", unknown},
		{"a system port", reply(443), "", unknown},
		{"from a hypervisor", reply(2100).with(func(f *frame) { f.from = hv2MAC }), "", counts{"ip/second_hand": 1}},
		{"from a stranger", reply(2100).with(func(f *frame) { f.from = alienMAC }), "", counts{"netdev/stranger": 1}},
		{"from a host that is an edge and a hypervisor", reply(2100).with(func(f *frame) { f.from = edge2MAC }), "", counts{"ip/second_hand": 1}},
		// The stack answers that the time is up, from an address that must not leave.
		{"last hop", reply(2100).with(func(f *frame) { f.ttl = 1 }), "", counts{"ip/own_traffic": 1}},
		{"no hop left", reply(2100).with(func(f *frame) { f.ttl = 0 }), "", counts{"ip/own_traffic": 1}},
		{"two hops left", reply(2100).with(func(f *frame) { f.ttl = 2 }), "vx100 02:63:76:00:00:01>02:63:76:00:00:02 ttl 1 udp 198.51.100.1:443>45.86.152.23:2100", redirected},
		{"another protocol", reply(2100).with(func(f *frame) { f.protocol = unix.IPPROTO_GRE }), "", unknown},
		{"another address", reply(2100).with(func(f *frame) { f.destination = netip.MustParseAddr("45.86.152.24") }), "", counts{"ip/bounced": 1}},
		{"echo reply", reply(0).with(func(f *frame) { f.protocol, f.payload = icmpProtocol, echo(0, 2100) }), toHV2 + "icmp 0 id 2100 198.51.100.1>45.86.152.23", redirected},
		{"echo reply for the own block", reply(0).with(func(f *frame) { f.protocol, f.payload = icmpProtocol, echo(0, 1100) }), "", unknown},
		{"echo request", reply(0).with(func(f *frame) { f.protocol, f.payload = icmpProtocol, echo(8, 2100) }), "", unknown},
		{"error about udp", failing(3, about(udp, ports(2100, 443))), toHV2 + "icmp 3/0 203.0.113.7>45.86.152.23 [udp 45.86.152.23:2100>198.51.100.1:443]", redirected},
		{"error about tcp", failing(11, about(tcp, ports(2100, 443))), toHV2 + "icmp 11/0 203.0.113.7>45.86.152.23 [tcp 45.86.152.23:2100>198.51.100.1:443]", redirected},
		{"error about a ping", failing(12, about(icmpProtocol, echo(8, 2100))), toHV2 + "icmp 12/0 203.0.113.7>45.86.152.23 [icmp 8 id 2100 45.86.152.23>198.51.100.1]", redirected},
		{"error about an answer to a ping", failing(3, about(icmpProtocol, echo(0, 2100))), "", unknown},
		// Where the port would be without them, the options look like one of hv2's.
		{"error about a packet with options", failing(3, about(udp, ports(1100, 443)).with(func(f *frame) { f.options = []byte{2100 >> 8, 2100 & 0xff, 0, 0} })), "", unknown},
		{"error about the own block", failing(3, about(udp, ports(1100, 443))), "", unknown},
		{"error about another protocol", failing(3, about(unix.IPPROTO_GRE, ports(2100, 443))), "", unknown},
		{"another ICMP type", failing(5, about(udp, ports(2100, 443))), "", unknown},
		{"error that is cut short", failing(3, about(udp, ports(2100, 443))).with(func(f *frame) { f.payload = f.payload[:29] }), "", unknown},
		{"first fragment alone", reply(2100).with(func(f *frame) { f.fragment = 0x2000 }), "", nil},
		{"later fragment alone", reply(2100).with(func(f *frame) { f.fragment = 0x0010; f.id = 1 }), "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.TB = t
			out, counted := l.pass(l.vx, tt.frame)
			want := []string{}
			if tt.out != "" {
				want = append(want, tt.out)
			}
			if diff := cmp.Diff(want, append([]string{}, out...)); diff != "" {
				t.Errorf("what came out (-want +got):\n%s", diff)
			}
			if !maps.Equal(counted, tt.want) {
				t.Errorf("counted %v, want %v", counted, tt.want)
			}
			if n := l.entries(); n != 0 {
				t.Errorf("conntrack has %d entries", n)
			}
		})
	}
}

// fragments is a large datagram in two parts.
func fragments(port uint16) (first, last frame) {
	return reply(port).with(func(f *frame) { f.payload = ports(443, port, make([]byte, 1992)...) }).inTwo(port)
}

// inTwo are the fragments of a packet with a payload of 2000 bytes.
func (f frame) inTwo(id uint16) (first, last frame) {
	first = f.with(func(f *frame) { f.payload, f.fragment, f.id = f.payload[:1400], 0x2000, id })
	last = f.with(func(f *frame) { f.payload, f.fragment, f.id = f.payload[1400:], 1400/8, id })
	return first, last
}

// longError is an error that quotes a packet of 1992 bytes whole.
func longError(protocol byte, head []byte) (first, last frame) {
	const quoted = 1992 - 20
	return failing(3, about(protocol, append(head, make([]byte, quoted-len(head))...))).inTwo(9)
}

// TestRedirectFragments sends datagrams in two fragments, in both orders: the owner gets them whole, in fragments again. One
// owner is an edge, to which the namespace says nothing else.
func TestRedirectFragments(t *testing.T) {
	first, last := fragments(2100)
	firstToEdge, lastToEdge := fragments(3080)
	errorFirst, errorLast := longError(udp, ports(2100, 443))
	pingFirst, pingLast := longError(icmpProtocol, echo(8, 2100))
	const hv2, edge2, size = "02:63:76:00:00:02", "02:63:76:00:00:04", " fragment 0x2000"
	l := newLot(t, hypervisor())
	// VXLAN would carry a mark on into the underlay.
	l.nft("add table ip watch; add counter ip watch marked; add chain ip watch out { type filter hook postrouting priority 400; }; add rule ip watch out meta mark != 0 counter name marked")
	for _, tt := range []struct {
		name   string
		frames []frame
		to     string
		head   string
		tail   string
	}{
		{"in order", []frame{first, last}, hv2, "udp 198.51.100.1:443>45.86.152.23:2100" + size, "17 198.51.100.1"},
		{"the last first", []frame{last, first}, hv2, "udp 198.51.100.1:443>45.86.152.23:2100" + size, "17 198.51.100.1"},
		{"to an edge", []frame{firstToEdge, lastToEdge}, edge2, "udp 198.51.100.1:443>45.86.152.23:3080" + size, "17 198.51.100.1"},
		{"an error about udp", []frame{errorFirst, errorLast}, hv2, "icmp 3/0 203.0.113.7>45.86.152.23 [udp 45.86.152.23:2100>198.51.100.1:443]" + size, "1 203.0.113.7"},
		{"an error about a ping", []frame{pingLast, pingFirst}, hv2, "icmp 3/0 203.0.113.7>45.86.152.23 [icmp 8 id 2100 45.86.152.23>198.51.100.1]" + size, "1 203.0.113.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.TB = t
			out, counted := l.pass(l.vx, tt.frames...)
			sent := "vx100 02:63:76:00:00:01>" + tt.to + " ttl 59 "
			want := []string{sent + tt.head, sent + tt.tail + ">45.86.152.23 fragment 0xaf"}
			if diff := cmp.Diff(want, out); diff != "" {
				t.Errorf("what came out (-want +got):\n%s", diff)
			}
			if !maps.Equal(counted, map[string]uint64{"ip/reassembled": 1}) {
				t.Errorf("counted %v", counted)
			}
			if n := l.entries(); n != 0 {
				t.Errorf("conntrack has %d entries", n)
			}
		})
	}
	if got := l.nft("list", "counters", "table", "ip", "watch"); !strings.Contains(got, "packets 0 ") {
		t.Errorf("datagrams leave with a mark: %s", got)
	}
}

// TestNoBounce has hosts of all combinations of roles: who redirects what another sends is not one whose own packets are redirected
// in turn, so that maps that differ cannot send a packet in circles.
func TestNoBounce(t *testing.T) {
	const roles = 8
	peer := func(r int) topology.Peer {
		return topology.Peer{MAC: topology.RouterMAC(portmap.HostID(r + 1)), Hypervisor: r&1 != 0, Edge: r&2 != 0, Balancer: r&4 != 0}
	}
	// redirects reports whether a host sends on what another one has redirected.
	redirects := func(at, from int) bool {
		self, other := peer(at), peer(from)
		b := builder{t: topology.Tenant{
			Hypervisor: self.Hypervisor, Edge: self.Edge, Balancer: self.Balancer, Peers: []topology.Peer{other},
			NAT: &topology.NAT{}, Balancers: []topology.Balancer{{Shared: true}},
		}}
		mac := Value{}.mac(other.MAC)
		_, fromEdge := b.edges().Elements[string(mac)]
		_, fromInsider := b.insiders().Elements[string(mac)]
		return b.redirects() && (other.Hypervisor || other.Balancer) && (fromEdge || b.turns() && fromInsider)
	}
	twice := 0
	for from := range roles {
		for at := range roles {
			if !redirects(at, from) {
				continue
			}
			twice++
			for next := range roles {
				if redirects(next, at) {
					t.Errorf("roles %03b (loadbalancer, edge, hypervisor) redirect to %03b, and that to %03b", from, at, next)
				}
			}
		}
	}
	if twice == 0 {
		t.Error("no host redirects what another one has redirected: the test compares nothing")
	}
}

// TestEdgesFirst holds every role against what the chain "ingress" relies on when it lets frames of edges pass all its other rules.
func TestEdgesFirst(t *testing.T) {
	compared := 0
	for _, r := range roles() {
		table := find(Desired(r.tenant), NetdevFamily)
		edges := table.set(setEdges)
		if edges == nil {
			continue
		}
		for mac := range edges.Elements {
			compared++
			if _, ok := table.set(setRouters).Elements[mac]; !ok {
				t.Errorf("%s: %s is an edge and a stranger", r.name, edges.Key.format(mac))
			}
			for _, name := range []string{setNodes, setInsiders} {
				other := table.set(name)
				if other == nil {
					continue
				}
				if _, ok := other.Elements[mac]; ok {
					t.Errorf("%s: %s is in edges and in %s", r.name, edges.Key.format(mac), name)
				}
			}
		}
	}
	if compared == 0 {
		t.Error("no role has edges: the test compares nothing")
	}
}
