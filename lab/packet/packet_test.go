package packet

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

const tooBig6 = 2 // RFC 4443 section 3.2

// frame puts an Ethernet header before an IP packet.
func frame(ip []byte) []byte {
	etherType := uint16(EtherIPv4)
	if ip[0]>>4 == 6 {
		etherType = EtherIPv6
	}
	h := binary.BigEndian.AppendUint16([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, etherType)
	return append(h, ip...)
}

func build(t testing.TB, s Spec) []byte {
	t.Helper()
	b, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vxlan(t testing.TB, vni uint32, inner []byte) []byte {
	h := binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, vni<<8)
	return build(t, Spec{
		Protocol: UDP, Payload: append(h, frame(inner)...),
		Source: netip.MustParseAddrPort("192.0.2.1:55000"), Destination: netip.MustParseAddrPort("192.0.2.2:4789"),
	})
}

var tcp4 = Spec{
	Protocol: TCP, Flags: SYN | ACK, TTL: 61, Payload: []byte("abc"),
	Source: netip.MustParseAddrPort("10.0.0.47:40000"), Destination: netip.MustParseAddrPort("198.51.100.1:443"),
}

func TestParse(t *testing.T) {
	quoted := build(t, tcp4)
	for _, c := range []struct {
		name  string
		ip    []byte
		want  string
		match []string
		fail  []string
	}{
		{
			"tcp", quoted, "tcp 10.0.0.47:40000 > 198.51.100.1:443 ttl 61 length 43",
			[]string{"", "tcp", "ip4 in syn ack !rst", "src=10.0.0.0/8 dst=198.51.100.1", "addr=10.0.0.47 port=443", "sport=40000-40001 dport=443", "ttl=61 length=43", "private", "!fragment"},
			[]string{"udp", "out", "ip6", "src=198.51.100.1", "sport=443", "inner.tcp", "quoted.tcp", "vni=0-16777215", "id=0-65535", "type=0-255", "fin"},
		},
		{
			"udp6", build(t, Spec{Protocol: UDP, Source: netip.MustParseAddrPort("[fd00::12]:1"), Destination: netip.MustParseAddrPort("[2001:db8::1]:2")}),
			"udp [fd00::12]:1 > [2001:db8::1]:2 ttl 64 length 48",
			[]string{"ip6 udp private src=fd00::/8"}, []string{"ip4", "tcp"},
		},
		{
			"echo", build(t, Spec{Protocol: ICMP, Type: EchoRequest4, ID: 1500, Source: netip.MustParseAddrPort("45.86.152.23:0"), Destination: netip.MustParseAddrPort("198.51.100.1:0")}),
			"icmp 45.86.152.23 > 198.51.100.1 type 8 code 0 id 1500 ttl 64 length 28",
			[]string{"icmp type=8 id=1024-2047"}, []string{"private", "id=2048", "port=0-65535"},
		},
		{
			"error", build(t, Spec{Protocol: ICMP, Type: Unreachable4, Code: 13, Payload: quoted, Source: netip.MustParseAddrPort("10.0.0.1:0"), Destination: netip.MustParseAddrPort("10.0.0.47:0")}),
			"icmp 10.0.0.1 > 10.0.0.47 type 3 code 13 id 0 ttl 64 length 71 about [tcp 10.0.0.47:40000 > 198.51.100.1:443 ttl 61 length 43]",
			[]string{"icmp type=3 code=13 quoted.tcp quoted.sport=40000"}, []string{"quoted.udp", "id=0", "!quoted.tcp"},
		},
		{
			"too big", build(t, Spec{
				Protocol: ICMP, Type: tooBig6, Payload: build(t, Spec{Protocol: UDP, Source: netip.MustParseAddrPort("[fd00::12]:1"), Destination: netip.MustParseAddrPort("[2001:db8::1]:2")}),
				Source: netip.MustParseAddrPort("[2001:db8::9]:0"), Destination: netip.MustParseAddrPort("[fd00::12]:0"),
			}),
			"icmp 2001:db8::9 > fd00::12 type 2 code 0 id 0 ttl 64 length 96 about [udp [fd00::12]:1 > [2001:db8::1]:2 ttl 64 length 48]",
			[]string{"icmp quoted.ip6 quoted.dport=2"}, []string{"ip4"},
		},
		{
			"vxlan", vxlan(t, 100, quoted),
			"udp 192.0.2.1:55000 > 192.0.2.2:4789 ttl 64 length 93 vni 100 [tcp 10.0.0.47:40000 > 198.51.100.1:443 ttl 61 length 43]",
			[]string{"udp dport=4789 vni=100 inner.tcp inner.private !private"}, []string{"inner.udp", "vni=101", "tcp"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse(frame(c.ip), DefaultVXLANPort)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			for _, text := range c.match {
				if f, err := ParseFilter(text); err != nil || !f.Match(p) {
					t.Errorf("filter %q does not hold: %v", text, err)
				}
			}
			for _, text := range c.fail {
				if f, err := ParseFilter(text); err != nil || f.Match(p) {
					t.Errorf("filter %q holds: %v", text, err)
				}
			}
		})
	}
}

func TestParseFragments(t *testing.T) {
	b := build(t, tcp4)
	binary.BigEndian.PutUint16(b[6:], 0x2000) // the first of several
	p, err := Parse(frame(b), 0)
	if err != nil || !p.Fragment || p.Offset != 0 || p.SourcePort != 40000 {
		t.Errorf("first fragment: %v, %v", p, err)
	}
	binary.BigEndian.PutUint16(b[6:], 185)
	p, err = Parse(frame(b), 0)
	if err != nil || !p.Fragment || p.Offset != 1480 || p.SourcePort != 0 {
		t.Errorf("later fragment: %v, %v", p, err)
	}
	if f, _ := ParseFilter("port=0-65535"); f.Match(p) {
		t.Error("a later fragment has ports")
	}
	six := build(t, Spec{Protocol: UDP, Source: netip.MustParseAddrPort("[fd00::12]:1"), Destination: netip.MustParseAddrPort("[2001:db8::1]:2")})
	head := []byte{byte(UDP), 0, 0, 1, 0, 0, 0, 7} // offset 0, more to come
	six = append(append(append([]byte{}, six[:40]...), head...), six[40:]...)
	six[6] = fragmentHeader6
	binary.BigEndian.PutUint16(six[4:], uint16(len(six)-40))
	p, err = Parse(frame(six), 0)
	if err != nil || !p.Fragment || p.Protocol != UDP || p.DestinationPort != 2 {
		t.Errorf("IPv6 fragment: %v, %v", p, err)
	}
}

// TestIntact damages every byte that a checksum covers, and some that none does.
func TestIntact(t *testing.T) {
	quoted := build(t, tcp4)
	fromFour, toFour := netip.MustParseAddrPort("10.0.0.1:0"), netip.MustParseAddrPort("10.0.0.47:0")
	fromSix, toSix := netip.MustParseAddrPort("[2001:db8::9]:0"), netip.MustParseAddrPort("[fd00::12]:0")
	four := build(t, Spec{Protocol: ICMP, Type: Exceeded4, Payload: quoted, Source: fromFour, Destination: toFour})
	six := build(t, Spec{Protocol: ICMP, Type: 2, Payload: build(t, Spec{Protocol: UDP, Source: fromSix, Destination: toSix}), Source: toSix, Destination: fromSix})
	for _, c := range []struct {
		name   string
		ip     []byte
		filter string
		// loose are bytes that may change: what the parser needs, what no checksum covers.
		loose func(i int) bool
	}{
		{"error", four, "icmp intact", func(i int) bool { return i == 0 || i == 9 || i == 20 || i == 28 }},
		{"error6", six, "icmp intact", func(i int) bool { return i < 8 || i == 40 || i == 48 }},
		{"tcp", quoted, "tcp intact summed", func(i int) bool { return i == 0 || i == 9 }},
	} {
		f, err := ParseFilter(c.filter)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := ParseIP(c.ip, 0); err != nil || !f.Match(p) {
			t.Errorf("%s: %q does not hold: %v", c.name, c.filter, err)
		}
		for i := range c.ip {
			b := append([]byte{}, c.ip...)
			b[i] ^= 0x10
			if p, err := ParseIP(b, 0); err == nil && f.Match(p) && !c.loose(i) {
				t.Errorf("%s: byte %d is damaged and %q holds", c.name, i, c.filter)
			}
		}
		if p, err := ParseIP(c.ip[:len(c.ip)-1], 0); err != nil || f.Match(p) {
			t.Errorf("%s: the last byte is missing and %q holds: %v", c.name, c.filter, err)
		}
	}
	// The error's own checksum is right, that of the header it quotes is not.
	damaged := append([]byte{}, quoted...)
	damaged[10] ^= 1
	b := build(t, Spec{Protocol: ICMP, Type: Exceeded4, Payload: damaged, Source: fromFour, Destination: toFour})
	if p, err := ParseIP(b, 0); err != nil || p.Intact {
		t.Errorf("a damaged quotation is intact: %v, %v", p, err)
	}
}

func TestParseShort(t *testing.T) {
	full := vxlan(t, 100, build(t, tcp4))
	for n := range full {
		p, err := ParseIP(full[:n], DefaultVXLANPort)
		if n < 20 && err == nil {
			t.Errorf("%d bytes: no error", n)
		}
		if n >= 20 && (err != nil || p.Destination != netip.MustParseAddr("192.0.2.2")) {
			t.Errorf("%d bytes: %v, %v", n, p, err)
		}
	}
	if p, err := Parse(append(make([]byte, 12), 0x08, 0x06), 0); err != nil || p.EtherType != EtherARP || p.String() != "ethertype 0x0806" {
		t.Errorf("arp: %v, %v", p, err)
	}
	if _, err := ParseIP([]byte{0x50}, 0); err == nil {
		t.Error("IP version 5 was read")
	}
}

// A packet whose checksum is right sums to zero with its checksum in place (RFC 1071 section 1).
func TestBuildChecksums(t *testing.T) {
	for _, s := range []Spec{
		tcp4,
		{Protocol: UDP, Payload: []byte("odd"), Source: tcp4.Source, Destination: tcp4.Destination},
		{Protocol: UDP, Payload: []byte("even"), Source: netip.MustParseAddrPort("[fd00::12]:1"), Destination: netip.MustParseAddrPort("[2001:db8::1]:2")},
		{Protocol: ICMP, Type: EchoRequest6, Source: netip.MustParseAddrPort("[fd00::12]:0"), Destination: netip.MustParseAddrPort("[2001:db8::1]:0")},
	} {
		b := build(t, s)
		header, protocol := 20, s.Protocol
		if b[0]>>4 == 6 {
			header, protocol = 40, Protocol(b[6])
		} else if got := checksum(0, b[:20]); got != 0 {
			t.Errorf("%v: header checksum is off by %x", s, got)
		}
		if got := checksum(pseudoHeader(s.Source.Addr(), s.Destination.Addr(), protocol, len(b)-header), b[header:]); got != 0 {
			t.Errorf("%v: checksum is off by %x", s, got)
		}
	}
	if _, err := Build(Spec{Protocol: UDP, Source: tcp4.Source, Destination: netip.MustParseAddrPort("[fd00::1]:1")}); err == nil {
		t.Error("built a packet of two families")
	}
	if _, err := Build(Spec{Protocol: 47, Source: tcp4.Source, Destination: tcp4.Destination}); err == nil {
		t.Error("built a protocol that is not supported")
	}
}

func TestParseFilterRefuses(t *testing.T) {
	for _, text := range []string{"tpc", "src", "src=", "src=10.0.0", "sport=a", "sport=9-3", "ttl=-1", "inner.", "!", "foo=1", "quoted.x=1", "inner"} {
		if _, err := ParseFilter(text); err == nil || !strings.Contains(err.Error(), "filter term") {
			t.Errorf("ParseFilter(%q): %v", text, err)
		}
	}
	if f, err := ParseFilter("tcp"); err != nil || f.String() != "tcp" {
		t.Errorf("String() = %s, %v", f, err)
	}
}

func FuzzParse(f *testing.F) {
	inner := build(f, tcp4)
	f.Add(frame(inner))
	f.Add(frame(vxlan(f, 100, vxlan(f, 200, inner))))
	f.Add(frame(build(f, Spec{Protocol: ICMP, Type: Unreachable4, Payload: inner, Source: tcp4.Source, Destination: tcp4.Destination})))
	filter, err := ParseFilter("!inner.quoted.private port=0-65535")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b, DefaultVXLANPort)
		if (p == nil) == (err == nil) {
			t.Fatalf("packet %v with error %v", p, err)
		}
		if p != nil {
			_ = p.String()
			filter.Match(p)
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	f.Add("udp dport=4789 inner.tcp !inner.src=10.0.0.0/8 ttl=1-64")
	p := &Packet{Inner: &Packet{}, Quoted: &Packet{}}
	f.Fuzz(func(_ *testing.T, text string) {
		if filter, err := ParseFilter(text); err == nil {
			filter.Match(p)
		}
	})
}
