package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
)

func TestUnderlay(t *testing.T) {
	ipv4, ipv6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		name     string
		underlay netip.Addr
		facts    overlay.Facts
		want     Finding
	}{
		{"nowhere", ipv4, overlay.Facts{}, Finding{"underlay", Problem, "no device has 192.0.2.1", "assign the address, or correct underlay of host hv1"}},
		{"just enough", ipv4, overlay.Facts{Underlay: "eth0", UnderlayMTU: 1550}, Finding{"underlay", Fine, "eth0 has 192.0.2.1 and MTU 1550: VMs can send 1500 bytes", ""}},
		{"too small", ipv4, overlay.Facts{Underlay: "eth0", UnderlayMTU: 1500}, Finding{
			"underlay", Advice, "eth0 has 192.0.2.1 and MTU 1500: VMs can send 1450 bytes",
			"raise the MTU of the underlay to 1550 or more, or expect VMs with MTU 1500 to be told to send less",
		}},
		{"IPv6 needs more", ipv6, overlay.Facts{Underlay: "eth0", UnderlayMTU: 1550}, Finding{
			"underlay", Advice, "eth0 has 2001:db8::1 and MTU 1550: VMs can send 1480 bytes",
			"raise the MTU of the underlay to 1570 or more, or expect VMs with MTU 1500 to be told to send less",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := underlay(topology.Host{Name: "hv1", Underlay: tt.underlay}, tt.facts); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestExamine(t *testing.T) {
	s := parse(t, fleetYAML)
	for _, tt := range []struct {
		name, host string
		facts      overlay.Facts
		want       []string // level and check of each finding
	}{
		{"an edge", "edge1", overlay.Facts{Underlay: "eth0", UnderlayMTU: 1550, Devices: map[string]bool{"eth0": true, "eth1": true}}, []string{"ok underlay", "ok devices"}},
		{"no uplink", "edge1", overlay.Facts{Underlay: "eth0", UnderlayMTU: 1550, Devices: map[string]bool{"eth0": true}}, []string{"ok underlay", "problem uplink", "advice devices"}},
		{"no VM yet", "hv1", overlay.Facts{Underlay: "eth0", UnderlayMTU: 1550, Devices: map[string]bool{"eth0": true, "tap-a": true}}, []string{"ok underlay", "advice devices"}},
		{"an MTU that plan refuses", "hv1", overlay.Facts{Underlay: "eth0", UnderlayMTU: 1300}, []string{"advice underlay", "problem fleet"}},
		{"no underlay and no VM yet", "hv1", overlay.Facts{Devices: map[string]bool{"tap-a": true}}, []string{"problem underlay", "advice devices"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host, err := topology.For(s.fleet, s.lock, tt.host)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range examine(host, overlay.Observed{Facts: tt.facts}) {
				// A device that is waited for may have a finding for each thing that waits.
				if what := string(f.Level) + " " + f.Check; !slices.Contains(got, what) {
					got = append(got, what)
				}
				if (f.Level == Fine) != (f.Remedy == "") {
					t.Errorf("%+v: what is not fine has a remedy, and nothing else", f)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

func TestExamineUnknownHost(t *testing.T) {
	s := parse(t, fleetYAML)
	got := (&Agent{name: "hv9"}).Examine(s.fleet, s.lock)
	if len(got) != 1 || got[0].Level != Problem || !strings.Contains(got[0].Detail, "hv9") || !strings.Contains(got[0].Remedy, "--host") {
		t.Errorf("found %+v", got)
	}
}
