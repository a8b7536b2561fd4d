package topology

import (
	"fmt"
	"testing"
)

// TestExempted shows which private addresses edges know: the sources of other hosts that are up, none that has a VIP, and none
// where nothing is exempt.
func TestExempted(t *testing.T) {
	exempt := []string{"portsPerHost: 1024}", "portsPerHost: 1024, exempt: [10.9.0.0/16]}"}
	for _, tt := range []struct {
		host  string
		edits []string
		want  string // what the edge's own namespace routes
		via   string // what the tenant's sends to other hosts
	}{
		{"edge4", exempt, "[10.0.0.47 10.0.0.12 10.0.0.13 10.0.0.99]", "[10.0.0.47 hv2 10.0.0.12 hv1 10.0.0.13 hv1 10.0.0.99 mix5]"},
		{"mix5", exempt, "[10.0.0.99 10.0.0.47 10.0.0.12 10.0.0.13]", "[10.0.0.47 hv2 10.0.0.12 hv1 10.0.0.13 hv1]"},
		{"hv1", exempt, "[10.0.0.12 10.0.0.13]", "[]"},
		{"edge4", append(exempt, "{name: hv2,", "{name: hv2, state: down,"), "[10.0.0.12 10.0.0.13 10.0.0.99]", "[10.0.0.12 hv1 10.0.0.13 hv1 10.0.0.99 mix5]"},
		{
			"edge4", append(exempt, "exempt: [10.9.0.0/16]}", "exempt: [10.9.0.0/16]}\n    virtualIPs: [{addresses: [45.86.152.25], interface: vm-b}]"),
			"[10.0.0.12 10.0.0.13 10.0.0.99]", "[10.0.0.12 hv1 10.0.0.13 hv1 10.0.0.99 mix5]",
		},
		{"edge4", nil, "[]", "[]"},
	} {
		fleet := parse(t, tt.edits...)
		nat := compute(t, fleet, allocate(t, nil, fleet), tt.host).tenant("acme").NAT
		via := []string{}
		for _, e := range nat.Exempted {
			via = append(via, fmt.Sprint(e.Address, " ", e.Peer.Host))
		}
		if got := fmt.Sprint(nat.Untranslated()); got != tt.want {
			t.Errorf("%s %q routes %s, want %s", tt.host, tt.edits, got, tt.want)
		}
		if got := fmt.Sprint(via); got != tt.via {
			t.Errorf("%s %q sends on %s, want %s", tt.host, tt.edits, got, tt.via)
		}
	}
}
