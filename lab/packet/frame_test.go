package packet

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/config"
)

func TestFrames(t *testing.T) {
	to, from := config.MAC{2, 0, 0, 0, 0, 1}, config.MAC{2, 0, 0, 0, 0, 2}
	source, target := netip.MustParseAddr("10.0.0.12"), netip.MustParseAddr("10.0.0.1")
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"IPv4", Frame(to, from, []byte{0x45}), "020000000001" + "020000000002" + "0800" + "45"},
		{"IPv6", Frame(to, from, []byte{0x60}), "020000000001" + "020000000002" + "86dd" + "60"},
		{"a request", ARP(ARPSpec{To: to, From: from, Says: from, Source: source, Target: target}),
			"020000000001" + "020000000002" + "0806" + "0001" + "0800" + "0604" + "0001" + "020000000002" + "0a00000c" + "000000000000" + "0a000001"},
		{"a reply that lies", ARP(ARPSpec{To: to, From: from, Says: to, Reply: true, Source: target, Target: source}),
			"020000000001" + "020000000002" + "0806" + "0001" + "0800" + "0604" + "0002" + "020000000001" + "0a000001" + "000000000000" + "0a00000c"},
		{"VXLAN", VXLAN(0x123456, []byte{0xff}), "08000000" + "12345600" + "ff"},
	} {
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}
