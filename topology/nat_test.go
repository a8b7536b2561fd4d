package topology

import (
	"fmt"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/portmap"
)

func owners(n *NAT) []string {
	var out []string
	for _, o := range n.Owners {
		out = append(out, fmt.Sprintf("%s:%d-%d %s", o.Block.Address, o.Block.First, o.Block.Last, o.Peer.Host))
	}
	return out
}

func TestOwners(t *testing.T) {
	tests := []struct {
		host, tenant string
		edits        []string
		want         []string
	}{
		{"hv1", "acme", nil, []string{"45.86.152.23:2048-3071 hv2", "45.86.152.23:3072-4095 mix5"}},
		{"hv2", "acme", nil, []string{"45.86.152.23:1024-2047 hv1", "45.86.152.23:3072-4095 mix5"}},
		{"mix5", "acme", nil, []string{"45.86.152.23:1024-2047 hv1", "45.86.152.23:2048-3071 hv2"}},
		{"edge4", "acme", nil, nil},
		// A block of an interface is answered for by the interface's host.
		{"hv1", "blue", nil, []string{"45.86.152.30:5120-7167 hv3"}},
		{"hv3", "blue", nil, []string{"45.86.152.30:1024-3071 hv1", "45.86.152.30:3072-5119 hv1"}},
		{"mix5", "blue", nil, nil},
		// A host that is down gets nothing redirected.
		{"hv1", "acme", []string{"{name: hv2,", "{name: hv2, state: down,"}, []string{"45.86.152.23:3072-4095 mix5"}},
		{"hv1", "blue", []string{"{name: hv3,", "{name: hv3, state: down,"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.host+" "+tt.tenant, func(t *testing.T) {
			fleet := parse(t, tt.edits...)
			got := owners(compute(t, fleet, allocate(t, nil, fleet), tt.host).tenant(tt.tenant).NAT)
			if !slices.Equal(got, tt.want) {
				t.Errorf("owners %q\nwant   %q", got, tt.want)
			}
		})
	}
}

// TestRetiredBlocks shrinks a claim: its host goes on answering for what it no longer uses.
func TestRetiredBlocks(t *testing.T) {
	fleet := parse(t)
	lock := allocate(t, nil, fleet)
	fleet = parse(t, "portsPerHost: 1024", "portsPerHost: 512")
	lock = allocate(t, lock, fleet)
	got := owners(compute(t, fleet, lock, "hv1").tenant("acme").NAT)
	want := []string{
		"45.86.152.23:2048-2559 hv2", "45.86.152.23:2560-3071 hv2",
		"45.86.152.23:3072-3583 mix5", "45.86.152.23:3584-4095 mix5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("owners %q\nwant   %q", got, want)
	}
	for _, s := range compute(t, fleet, lock, "hv2").tenant("acme").NAT.Sources {
		if len(s.Blocks) != 1 || s.Blocks[0].Ports() != "2048-2559 (512 ports)" {
			t.Errorf("%s leaves from %v, want the active block alone", s.Address, s.Blocks)
		}
	}
}

// TestInterfaceMoves takes an interface with blocks of its own to another host: the blocks follow.
func TestInterfaceMoves(t *testing.T) {
	fleet := parse(t)
	lock := allocate(t, nil, fleet)
	moved := parse(t, "{name: vm-x, host: hv1", "{name: vm-x, host: hv2")
	lock = allocate(t, lock, moved)
	want := []string{"45.86.152.30:1024-3071 hv2", "45.86.152.30:5120-7167 hv3"}
	if got := owners(compute(t, moved, lock, "hv1").tenant("blue").NAT); !slices.Equal(got, want) {
		t.Errorf("owners %q\nwant   %q", got, want)
	}
}

func TestSources(t *testing.T) {
	tests := []struct {
		host, tenant string
		want         []string
	}{
		// IPv6 addresses have no NAT gateway; a host's addresses share its blocks.
		{"hv1", "acme", []string{"10.0.0.12 45.86.152.23 1024-2047 (1024 ports)", "10.0.0.13 45.86.152.23 1024-2047 (1024 ports)"}},
		{"hv2", "acme", []string{"10.0.0.47 45.86.152.23 2048-3071 (1024 ports)"}},
		{"hv1", "blue", []string{"10.0.0.12 45.86.152.30 1024-3071 (2048 ports)", "10.0.0.13 45.86.152.30 3072-5119 (2048 ports)"}},
		{"edge4", "blue", nil},
	}
	fleet := parse(t)
	lock := allocate(t, nil, fleet)
	for _, tt := range tests {
		t.Run(tt.host+" "+tt.tenant, func(t *testing.T) {
			nat := compute(t, fleet, lock, tt.host).tenant(tt.tenant).NAT
			var got []string
			for _, s := range nat.Sources {
				for _, b := range s.Blocks {
					got = append(got, fmt.Sprintf("%s %s %s", s.Address, b.Address, b.Ports()))
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("sources %q\nwant    %q", got, tt.want)
			}
			if want := tt.tenant == "blue"; nat.PerInterface != want {
				t.Errorf("per interface: %v, want %v", nat.PerInterface, want)
			}
		})
	}
	if zeta := compute(t, fleet, lock, "hv1").tenant("zeta"); zeta.NAT != nil {
		t.Errorf("a tenant without NAT gateway has %+v", zeta.NAT)
	}
}

// TestClaimOfNobody has the lock name an interface and a host that the tenant does not have: nobody is named as owner.
func TestClaimOfNobody(t *testing.T) {
	fleet := parse(t)
	lock := allocate(t, nil, fleet)
	block := lock.Tenants["acme"].Claims[0].Blocks
	for _, c := range []portmap.Claimant{{Interface: "vm-gone"}, {Host: "hv3"}, {Host: "gone"}} {
		lock.Tenants["acme"].Claims = append(lock.Tenants["acme"].Claims, portmap.Claim{Claimant: c, Retired: block})
	}
	want := []string{"45.86.152.23:2048-3071 hv2", "45.86.152.23:3072-4095 mix5"}
	if got := owners(compute(t, fleet, lock, "hv1").tenant("acme").NAT); !slices.Equal(got, want) {
		t.Errorf("owners %q\nwant   %q", got, want)
	}
}
