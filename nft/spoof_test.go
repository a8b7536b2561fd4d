package nft

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

var (
	forgedMAC = config.MAC{0x52, 0x54, 0, 0, 0, 0x99}
	ownLocal  = netip.MustParseAddr("fe80::5054:ff:fe00:a")
	gateway6  = netip.MustParseAddr("fe80::1")
	allNodes  = netip.MustParseAddr("ff02::1")
)

// write sends bytes as they are.
func (w *wire) write(b []byte) {
	w.Helper()
	_, err := unix.Write(w.fd, b)
	must(w, err)
}

// counted is what frames sent by a wire add to the counters.
func (l *lot) counted(in *wire, frames ...[]byte) counts {
	l.Helper()
	before := l.counts()
	for _, f := range frames {
		in.write(f)
	}
	after := l.counts()
	for name, n := range before {
		if after[name] -= n; after[name] == 0 {
			delete(after, name)
		}
	}
	return after
}

// TestForgedIPv4 sends what VMs may not, whole and in fragments. Nothing of it leaves a trace in conntrack.
func TestForgedIPv4(t *testing.T) {
	l := newLot(t, hypervisor())
	with := func(change func(*frame)) frame { return request(40000).with(change) }
	for name, f := range map[string]frame{
		"a MAC":                      with(func(f *frame) { f.from = forgedMAC }),
		"the MAC of another VM":      with(func(f *frame) { f.from = config.MAC{0x52, 0x54, 0, 0, 0, 0x0c} }),
		"the address of another VM":  with(func(f *frame) { f.source = vmC }),
		"MAC and address of another": with(func(f *frame) { f.from, f.source = config.MAC{0x52, 0x54, 0, 0, 0, 0x0c}, vmC }),
		"the address of a remote VM": with(func(f *frame) { f.source, f.destination = vmB, vmE }),
		"no address":                 with(func(f *frame) { f.source = netip.IPv4Unspecified() }),
		"an overlay address":         with(func(f *frame) { f.source = netip.MustParseAddr("100.64.0.2") }),
		"a loopback address":         with(func(f *frame) { f.source = netip.MustParseAddr("127.0.0.1") }),
		"a fragment":                 with(func(f *frame) { f.source, f.fragment = vmC, 0x2000 }),
		"a later fragment":           with(func(f *frame) { f.source, f.fragment = vmC, 3 }),
		"for the VM next door":       with(func(f *frame) { f.source, f.destination = vmB, vmA }),
		"an error about nobody's own": with(func(f *frame) {
			f.source, f.protocol, f.payload = vmB, icmpProtocol, icmpError(3, 4, about(udp, ports(9, 9)))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			l.TB = t
			before := l.entries()
			l.expect(l.tap, nil, counts{"ip/spoofed": 1}, f)
			if n := l.entries(); n != before {
				t.Errorf("conntrack had %d entries and has %d", before, n)
			}
		})
	}
	l.TB = t
	l.leaves(request(40000))
}

// TestUnknownDevice takes the VM out of the fleet while its device is still there.
func TestUnknownDevice(t *testing.T) {
	tenant := hypervisor()
	tenant.Interfaces = tenant.Interfaces[1:]
	l := newLot(t, tenant)
	l.expect(l.tap, nil, counts{"ip/spoofed": 1}, request(40000))
}

// arpFrame is an ARP packet for Ethernet and IPv4 (RFC 826).
func arpFrame(from, says config.MAC, operation uint16, source, target netip.Addr) []byte {
	b := append(append(append([]byte{}, topology.GatewayMAC[:]...), from[:]...), 0x08, 0x06, 0, 1, 8, 0, 6, 4)
	b = append(append(binary.BigEndian.AppendUint16(b, operation), says[:]...), source.AsSlice()...)
	return append(append(b, make([]byte, 6)...), target.AsSlice()...)
}

func TestForgedARP(t *testing.T) {
	const request, reply = 1, 2
	l := newLot(t, hypervisor())
	gateway := netip.MustParseAddr("169.254.1.1")
	for _, tt := range []struct {
		name  string
		frame []byte
		want  int
	}{
		{"a request", arpFrame(vmMAC, vmMAC, request, vmA, gateway), 0},
		{"a reply", arpFrame(vmMAC, vmMAC, reply, vmA, gateway), 0},
		{"a probe", arpFrame(vmMAC, vmMAC, request, netip.IPv4Unspecified(), vmA), 0},
		{"an announcement", arpFrame(vmMAC, vmMAC, request, vmA, vmA), 0},
		{"another's address", arpFrame(vmMAC, vmMAC, request, vmC, gateway), 1},
		{"another's address in a reply", arpFrame(vmMAC, vmMAC, reply, vmB, gateway), 1},
		{"another's MAC in ARP", arpFrame(vmMAC, forgedMAC, reply, vmA, gateway), 1},
		{"another's MAC in Ethernet", arpFrame(forgedMAC, vmMAC, request, vmA, gateway), 1},
		{"another's MAC in both", arpFrame(forgedMAC, forgedMAC, request, vmA, gateway), 1},
		{"a probe with another's MAC", arpFrame(vmMAC, forgedMAC, request, netip.IPv4Unspecified(), vmA), 1},
	} {
		if got := l.counted(l.tap, tt.frame)["arp/spoofed"]; got != uint64(tt.want) {
			t.Errorf("%s: counted %d times, want %d", tt.name, got, tt.want)
		}
	}
}

// frame6 is an IPv6 packet in an Ethernet frame; the checksums are of no interest to those who drop it.
func frame6(from config.MAC, source, destination netip.Addr, next byte, payload []byte) []byte {
	b := append(append(append([]byte{}, topology.GatewayMAC[:]...), from[:]...), 0x86, 0xdd, 0x60, 0, 0, 0)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(payload))), next, 255)
	return append(append(append(b, source.AsSlice()...), destination.AsSlice()...), payload...)
}

// discovery is a message of neighbour discovery about a target (RFC 4861 section 4).
func discovery(typ byte, target netip.Addr) []byte {
	return append([]byte{typ, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
}

func TestForgedIPv6(t *testing.T) {
	const solicitation, advertisement = 135, 136
	l := newLot(t, hypervisor())
	setSysctls(t, l.ns, "net/ipv6/conf/tap-a/accept_dad=0", "net/ipv6/conf/tap-a/disable_ipv6=0")
	remote := netip.MustParseAddr("fd00::99")
	data := ports(1, 2)
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"data", frame6(vmMAC, vmA6, remote, udp, data), ""},
		{"a ping", frame6(vmMAC, vmA6, remote, unix.IPPROTO_ICMPV6, echo(128, 1)), ""},
		{"a question for the gateway", frame6(vmMAC, ownLocal, gateway6, unix.IPPROTO_ICMPV6, discovery(solicitation, gateway6)), ""},
		{"any link-local address", frame6(vmMAC, netip.MustParseAddr("fe80::1234"), allNodes, unix.IPPROTO_ICMPV6, discovery(solicitation, gateway6)), ""},
		{"looking for a duplicate", frame6(vmMAC, netip.IPv6Unspecified(), allNodes, unix.IPPROTO_ICMPV6, discovery(solicitation, vmA6)), ""},
		{"an answer about itself", frame6(vmMAC, vmA6, gateway6, unix.IPPROTO_ICMPV6, discovery(advertisement, vmA6)), ""},
		{"an answer about its link-local address", frame6(vmMAC, ownLocal, gateway6, unix.IPPROTO_ICMPV6, discovery(advertisement, ownLocal)), ""},
		{"another's address", frame6(vmMAC, netip.MustParseAddr("fd00::13"), remote, udp, data), "ip6/spoofed"},
		{"another's address in a ping", frame6(vmMAC, netip.MustParseAddr("fd00::13"), remote, unix.IPPROTO_ICMPV6, echo(128, 1)), "ip6/spoofed"},
		{"another's MAC", frame6(forgedMAC, vmA6, remote, udp, data), "ip6/spoofed"},
		{"no address", frame6(vmMAC, netip.IPv6Unspecified(), remote, udp, data), "ip6/spoofed"},
		{"another's MAC with a link-local address", frame6(forgedMAC, ownLocal, gateway6, unix.IPPROTO_ICMPV6, discovery(solicitation, gateway6)), "ip6/spoofed"},
		{"a link-local address towards a VM", frame6(vmMAC, ownLocal, remote, unix.IPPROTO_ICMPV6, echo(128, 1)), "ip6/link_local"},
		{"a link-local address with data", frame6(vmMAC, ownLocal, gateway6, udp, data), "ip6/link_local"},
		{"an answer about another", frame6(vmMAC, vmA6, gateway6, unix.IPPROTO_ICMPV6, discovery(advertisement, remote)), "ip6/spoofed"},
		{"an answer about another from a link-local address", frame6(vmMAC, ownLocal, allNodes, unix.IPPROTO_ICMPV6, discovery(advertisement, remote)), "ip6/spoofed"},
		{"a router", frame6(vmMAC, ownLocal, allNodes, unix.IPPROTO_ICMPV6, discovery(134, gateway6)), "ip6/spoofed"},
		{"a redirect", frame6(vmMAC, ownLocal, gateway6, unix.IPPROTO_ICMPV6, discovery(137, remote)), "ip6/spoofed"},
	} {
		want := counts{}
		if tt.want != "" {
			want[tt.want] = 1
		}
		if got := l.counted(l.tap, tt.frame); len(got) != len(want) || got[tt.want] != want[tt.want] {
			t.Errorf("%s: counted %v, want %v", tt.name, got, want)
		}
	}
}
