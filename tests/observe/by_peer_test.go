package observe

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
)

const threeFleet = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: hv3, underlay: 192.0.2.3, roles: [hypervisor]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
      - {name: vm-c, host: hv3, device: tap-c, mac: "52:54:00:00:00:0c", addresses: [10.0.0.48]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 64}
`

// TestRedirectedByPeer has an edge give hv1 known numbers of packets for ports of hv2 and hv3, and compares what hv1 tells with what they
// capture.
func TestRedirectedByPeer(t *testing.T) {
	r := newRig(t, threeFleet, "hv1")
	if _, err := r.tool("edge1/acme", "ip", "route", "replace", "45.86.152.23/32", "via", "100.64.0.1", "dev", "vx100", "onlink"); err != nil {
		t.Fatal(err)
	}
	filter, err := packet.ParseFilter("in udp src=198.51.100.1 dst=45.86.152.23")
	if err != nil {
		t.Fatal(err)
	}
	server := r.open("server")
	from := netip.MustParseAddrPort("198.51.100.1:443")
	for _, peer := range []struct {
		name    string
		port    uint16 // the first of its own; 1024-1087 are hv1's
		packets int
	}{
		{"hv2", 1088, 17},
		{"hv3", 1152, 23},
	} {
		capture, err := traffic.StartCapture(r.open(peer.name+"/acme"), "vx100", filter)
		if err != nil {
			t.Fatal(err)
		}
		for i := range peer.packets {
			to := netip.AddrPortFrom(netip.MustParseAddr("45.86.152.23"), peer.port+uint16(i))
			if err := traffic.Inject(server, packet.Spec{Protocol: packet.UDP, Source: from, Destination: to}); err != nil {
				t.Fatal(err)
			}
		}
		series := fmt.Sprintf(`culvert_redirected_packets_total{peer=%q,tenant="acme"}`, peer.name)
		r.eventually(series, func() error {
			told, err := r.scrape()
			if got := capture.Count(packet.Filter{}); err == nil && (told[series] != float64(peer.packets) || got != peer.packets) {
				err = fmt.Errorf("%v are told, %d captured, want %d", told[series], got, peer.packets)
			}
			return err
		})
		if err := capture.Stop(); err != nil {
			t.Error(err)
		}
	}
}
