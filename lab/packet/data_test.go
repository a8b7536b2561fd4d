package packet

import (
	"net/netip"
	"testing"
)

// TestData reads how much a packet carries, whatever of it was captured.
func TestData(t *testing.T) {
	six, sixTo := netip.MustParseAddrPort("[fd00::12]:1"), netip.MustParseAddrPort("[2001:db8::1]:2")
	long := tcp4
	long.Payload = make([]byte, 9000)
	// Twelve bytes of what follows the header are options: it is 32 bytes long.
	spec := tcp4
	spec.Payload = make([]byte, 13)
	optioned := build(t, spec)
	optioned[20+12] = 32 / 4 << 4
	for _, c := range []struct {
		name string
		ip   []byte
		want int
	}{
		{"tcp", build(t, tcp4), 3},
		{"tcp with options", optioned, 1},
		{"tcp, the beginning", build(t, long)[:100], 9000},
		{"udp of IPv6", build(t, Spec{Protocol: UDP, Payload: []byte("hello"), Source: six, Destination: sixTo}), 5},
		{"icmp", build(t, Spec{Protocol: ICMP, Type: EchoRequest4, Payload: []byte("hello"), Source: tcp4.Source, Destination: tcp4.Destination}), 0},
	} {
		p, err := ParseIP(c.ip, 0)
		if err != nil || p.Data != c.want {
			t.Errorf("%s: %v carries %d bytes, want %d; %v", c.name, p, p.Data, c.want, err)
		}
	}
}
