package topology

import (
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

func TestAddresses(t *testing.T) {
	wide := config.DefaultOverlay()
	odd := config.Overlay{IPv4: netip.MustParsePrefix("10.200.7.9/16"), IPv6: netip.MustParsePrefix("fd11:2233:4455:6677:8899:aabb:ffff:0/96")}
	tests := []struct {
		overlay        config.Overlay
		id             portmap.HostID
		ipv4, ipv6, ma string
	}{
		{wide, 1, "100.64.0.1", "fd00:c0de::1", "02:63:76:00:00:01"},
		{wide, 255, "100.64.0.255", "fd00:c0de::ff", "02:63:76:00:00:ff"},
		{wide, 256, "100.64.1.0", "fd00:c0de::100", "02:63:76:00:01:00"},
		{wide, 65536, "100.65.0.0", "fd00:c0de::1:0", "02:63:76:01:00:00"},
		{wide, portmap.HostID(portmap.Limit(wide)), "100.95.255.255", "fd00:c0de::1f:ffff", "02:63:76:1f:ff:ff"},
		{odd, 1, "10.200.0.1", "fd11:2233:4455:6677:8899:aabb:0:1", "02:63:76:00:00:01"},
		{odd, portmap.HostID(portmap.Limit(odd)), "10.200.127.255", "fd11:2233:4455:6677:8899:aabb:0:7fff", "02:63:76:00:7f:ff"},
	}
	for _, tt := range tests {
		if got := OverlayIPv4(tt.overlay, tt.id).String(); got != tt.ipv4 {
			t.Errorf("host %d in %s: %s, want %s", tt.id, tt.overlay.IPv4, got, tt.ipv4)
		}
		if got := OverlayIPv6(tt.overlay, tt.id).String(); got != tt.ipv6 {
			t.Errorf("host %d in %s: %s, want %s", tt.id, tt.overlay.IPv6, got, tt.ipv6)
		}
		if got := RouterMAC(tt.id).String(); got != tt.ma {
			t.Errorf("host %d: MAC %s, want %s", tt.id, got, tt.ma)
		}
	}
}

// TestReservedMACs keeps the addresses of our own devices out of what hosts get, and locally administered unicast.
func TestReservedMACs(t *testing.T) {
	for _, m := range []config.MAC{GatewayMAC, UplinkHostMAC, UplinkTenantMAC} {
		if m[0]&3 != 2 {
			t.Errorf("%s is not locally administered unicast", m)
		}
		id := portmap.HostID(m[3])<<16 | portmap.HostID(m[4])<<8 | portmap.HostID(m[5])
		if RouterMAC(id) == m && uint32(id) <= portmap.Limit(config.DefaultOverlay()) {
			t.Errorf("%s is the MAC of host %d", m, id)
		}
	}
}
