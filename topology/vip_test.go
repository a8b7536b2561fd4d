package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

const vipYAML = `portsPerHost: 1024}
    virtualIPs:
      - {addresses: [45.86.152.40, "2001:db8::40"], interface: vm-a}
      - {addresses: ["2001:db8::41"], interface: vm-b}
      - {addresses: [45.86.152.42], interface: vm-a}
      - {addresses: [45.86.152.43], interface: vm-m}
`

// binding says what a VIP stands for, where, and what is special about it.
func binding(v VIP) string {
	out := fmt.Sprintf("%s %s %s", v.Public, v.Private, v.Peer.Host)
	for _, mark := range []struct {
		text  string
		holds bool
	}{{" local", v.Local}, {" down", v.Down}, {" shared", v.Shared}} {
		if mark.holds {
			out += mark.text
		}
	}
	return out
}

func TestVIPs(t *testing.T) {
	edits := []string{"portsPerHost: 1024}\n", vipYAML}
	twice := slices.Concat(edits, []string{"interface: vm-b", "interface: vm-a"})
	all := func(a, m string) []string {
		return []string{
			"45.86.152.40 10.0.0.12 hv1" + a, "2001:db8::40 fd00::12 hv1" + a, "2001:db8::41 fd00::47 hv2",
			"45.86.152.42 10.0.0.13 hv1" + a, "45.86.152.43 10.0.0.99 mix5" + m,
		}
	}
	for _, tt := range []struct {
		name, host string
		edits      []string
		want       []string
	}{
		// Two addresses of an interface take a VIP each.
		{"hypervisor", "hv1", edits, all(" local", "")},
		{"edge", "edge4", edits, all("", "")},
		{"both", "mix5", edits, all("", " local")},
		{"down", "mix5", slices.Concat(edits, []string{"{name: hv1,", "{name: hv1, state: down,"}), all(" down", " local")},
		{"down itself", "hv1", slices.Concat(edits, []string{"{name: hv1,", "{name: hv1, state: down,"}), all(" local", "")},
		{"shared", "edge4", twice, []string{
			"45.86.152.40 10.0.0.12 hv1", "2001:db8::40 fd00::12 hv1 shared", "2001:db8::41 fd00::12 hv1 shared",
			"45.86.152.42 10.0.0.13 hv1", "45.86.152.43 10.0.0.99 mix5",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := parse(t, tt.edits...)
			var got []string
			for _, v := range compute(t, fleet, allocate(t, nil, fleet), tt.host).tenant("acme").VIPs {
				got = append(got, binding(v))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("VIPs %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestVIPBeforeNAT takes the sources that have a VIP away from the NAT gateway, on their host alone.
func TestVIPBeforeNAT(t *testing.T) {
	fleet := parse(t, "portsPerHost: 1024}\n", vipYAML, "interface: vm-a}\n      - {addresses: [45.86.152.43]", "interface: vm-b}\n      - {addresses: [45.86.152.43]")
	lock := allocate(t, nil, fleet)
	for host, want := range map[string][]string{"hv1": {"10.0.0.13"}, "hv2": nil, "mix5": nil} {
		var got []string
		for _, s := range compute(t, fleet, lock, host).tenant("acme").NAT.Sources {
			got = append(got, s.Address.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: sources %q, want %q", host, got, want)
		}
	}
}

// TestVIPsAlone is a tenant without a NAT gateway: edges hold it for its VIPs.
func TestVIPsAlone(t *testing.T) {
	fleet := parse(t, "addresses: [10.0.0.2]}\n", "addresses: [10.0.0.2, \"fd00::2\"]}\n    virtualIPs: [{addresses: [\"2001:db8::50\"], interface: vm-q}]\n")
	lock := allocate(t, nil, fleet)
	zeta := compute(t, fleet, lock, "edge4").tenant("zeta")
	if !zeta.Edge || zeta.NAT != nil {
		t.Errorf("the edge holds %+v", zeta)
	}
	if got, want := zeta.Publics(false), []netip.Addr{netip.MustParseAddr("2001:db8::50")}; !slices.Equal(got, want) || len(zeta.Publics(true)) != 0 {
		t.Errorf("publics %v and %v, want none and %v", zeta.Publics(true), got, want)
	}
	if got := compute(t, fleet, lock, "hv1").tenant("acme").Publics(true); len(got) != 2 {
		t.Errorf("publics of a NAT gateway: %v", got)
	}
}
