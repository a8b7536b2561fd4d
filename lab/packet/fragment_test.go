package packet

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

var (
	datagram4 = Spec{Protocol: UDP, Payload: bytes.Repeat([]byte("0123456789"), 100), Source: netip.MustParseAddrPort("198.51.100.1:53"), Destination: netip.MustParseAddrPort("45.86.152.23:2101")}
	datagram6 = Spec{Protocol: UDP, Payload: datagram4.Payload, Source: netip.MustParseAddrPort("[2001:db8::1]:53"), Destination: netip.MustParseAddrPort("[2001:db8::30]:53")}
)

// TestFragments puts what was cut together again.
func TestFragments(t *testing.T) {
	for name, spec := range map[string]Spec{"IPv4": datagram4, "IPv6": datagram6} {
		t.Run(name, func(t *testing.T) {
			whole := build(t, spec)
			pieces, err := Cut(PayloadLength(whole), 400, 0)
			if err != nil || len(pieces) != 3 {
				t.Fatalf("cut into %v, %v; want three", pieces, err)
			}
			fragments, err := Fragments(whole, 7, pieces...)
			if err != nil {
				t.Fatal(err)
			}
			var payload []byte
			for i, f := range fragments {
				p, err := ParseIP(f, 0)
				if err != nil || !p.Fragment || p.Offset != i*400 || !p.Intact || p.Source != spec.Source.Addr() || p.Length != len(f) {
					t.Errorf("fragment %d is %+v, %v", i, p, err)
				}
				if (p.SourcePort == 53) != (i == 0) {
					t.Errorf("fragment %d has source port %d", i, p.SourcePort)
				}
				header := PayloadLength(whole) - len(payload)
				payload = append(payload, f[len(f)-min(400, header):]...)
			}
			if !bytes.Equal(payload, whole[len(whole)-PayloadLength(whole):]) {
				t.Error("the pieces together are not the payload")
			}
		})
	}
}

func TestCut(t *testing.T) {
	pieces, err := Cut(1008, 400, 8)
	want := []Piece{{0, 400}, {392, 800}, {792, 1008}}
	if err != nil || len(pieces) != 3 || pieces[0] != want[0] || pieces[1] != want[1] || pieces[2] != want[2] {
		t.Errorf("cut into %v, %v; want %v", pieces, err, want)
	}
	for _, bad := range [][2]int{{0, 0}, {401, 0}, {400, 4}, {400, 400}, {400, -8}} {
		if pieces, err := Cut(1008, bad[0], bad[1]); err == nil {
			t.Errorf("pieces of %d that overlap by %d: %v", bad[0], bad[1], pieces)
		}
	}
	whole := build(t, datagram4)
	for _, bad := range []Piece{{-8, 8}, {0, 2000}, {8, 8}, {4, 12}, {0, 12}} {
		if _, err := Fragments(whole, 1, bad); err == nil {
			t.Errorf("a fragment of %v", bad)
		}
	}
}

func TestSCTP(t *testing.T) {
	spec := Spec{
		Protocol: SCTP, Chunk: ChunkInit, InitTag: 7,
		Source: netip.MustParseAddrPort("10.0.0.47:40001"), Destination: netip.MustParseAddrPort("198.51.100.1:36412"),
	}
	for _, chunk := range []Chunk{ChunkInit, ChunkInitAck, ChunkCookieEcho, ChunkCookieAck, ChunkData, ChunkSack, ChunkShutdown, ChunkShutdownAck} {
		spec.Chunk, spec.Payload = chunk, []byte("abcde")
		raw := build(t, spec)
		p, err := ParseIP(raw, 0)
		if err != nil || p.Chunk != chunk || !p.Summed || !p.Intact || len(raw)%4 != 0 {
			t.Errorf("chunk %d: %v, %v", chunk, p, err)
		}
		for _, text := range []string{"sctp summed sport=40001 dport=36412", "sctp chunk=0-14", "!udp !tcp"} {
			if f, err := ParseFilter(text); err != nil || !f.Match(p) {
				t.Errorf("chunk %d: filter %q does not hold: %v", chunk, text, err)
			}
		}
		raw[20]++ // the source port, as a NAT that forgets the checksum would change it
		if p, err := ParseIP(raw, 0); err != nil || p.Summed {
			t.Errorf("chunk %d with another port: %v, %v; the checksum cannot be right", chunk, p, err)
		}
	}
	if got := (&Packet{Source: spec.Source.Addr(), Protocol: SCTP, Chunk: ChunkInit, hasChunk: true}).String(); !strings.Contains(got, "chunk 1") {
		t.Errorf("printed as %s", got)
	}
}

// TestSCTPChecksum has the check value of CRC-32C.
func TestSCTPChecksum(t *testing.T) {
	if got := crc32c([]byte("123456789")); got != 0xe3069283 {
		t.Errorf("got %#x", got)
	}
}

// TestMaxSegment reads the MSS among other options, and none from a header that is damaged.
func TestMaxSegment(t *testing.T) {
	header := func(offset byte, options ...byte) []byte {
		b := build(t, Spec{Protocol: TCP, Flags: SYN, Source: tcp4.Source, Destination: tcp4.Destination, Payload: options})
		b[20+12] = offset << 4
		return b
	}
	for name, c := range map[string]struct {
		raw  []byte
		want uint16
	}{
		"alone":                  {header(6, 2, 4, 5, 0xb4), 1460},
		"behind others":          {header(8, 1, 1, 3, 3, 7, 1, 2, 4, 5, 0x82, 0, 0), 1410},
		"no options":             {header(5, 2, 4, 5, 0xb4), 0},
		"behind the end":         {header(7, 0, 2, 4, 5, 0xb4, 0, 0, 0), 0},
		"a length of nothing":    {header(6, 3, 0, 2, 4), 0},
		"a length of too much":   {header(6, 2, 9, 5, 0xb4), 0},
		"a header of no size":    {header(0, 2, 4, 5, 0xb4), 0},
		"longer than the packet": {header(15, 2, 4, 5, 0xb4), 1460},
	} {
		if p, err := ParseIP(c.raw, 0); err != nil || p.MSS != c.want {
			t.Errorf("%s: MSS %d, %v; want %d", name, p.MSS, err, c.want)
		}
	}
}

// TestMTU reads the next hop's MTU of both families.
func TestMTU(t *testing.T) {
	four := Spec{Protocol: ICMP, Type: Unreachable4, Code: 4, MTU: 1300, Payload: build(t, datagram4)[:28], Source: netip.MustParseAddrPort("10.0.0.1:0"), Destination: netip.MustParseAddrPort("10.0.0.47:0")}
	six := Spec{Protocol: ICMP, Type: tooBig, MTU: 1300, Payload: build(t, datagram6)[:48], Source: datagram6.Source, Destination: datagram6.Destination}
	f, err := ParseFilter("icmp mtu=1300 intact")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Spec{four, six} {
		if p, err := ParseIP(build(t, s), 0); err != nil || !f.Match(p) {
			t.Errorf("%v, %v", p, err)
		}
	}
	four.Code = 1
	if p, err := ParseIP(build(t, four), 0); err != nil || p.MTU != 0 {
		t.Errorf("host unreachable has an MTU: %v, %v", p, err)
	}
}
