package overlay

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// facts of a host that has its underlay and the example's devices.
func exampleFacts(devices ...string) Facts {
	f := Facts{Underlay: "eth0", UnderlayMTU: 1550, Devices: map[string]bool{"eth0": true, "out0": true}}
	for _, d := range devices {
		f.Devices[d] = true
	}
	return f
}

// kernelOf is what the kernel holds once a host has its state: VM devices are no longer in the host's namespace.
func kernelOf(h topology.Host) Observed {
	f := exampleFacts()
	s := must(Desired(h, f))
	for _, t := range h.Tenants {
		if t.Edge {
			f.Devices[t.UplinkPort()] = true
		}
	}
	return Observed{State: s, Facts: f}
}

// fill is the plan for a bare host.
func fill(h topology.Host, devices ...string) Plan {
	f := exampleFacts(devices...)
	return Diff(Observed{Facts: f}, must(Desired(h, f)))
}

func TestPhases(t *testing.T) {
	h := hostOf(both(), other())
	up := fill(h, "tap-a", "tap-z")
	down := Diff(kernelOf(h), State{})
	for _, p := range []Plan{up, down} {
		joined := slices.Concat(p.Detach(), p.Prepare(), p.Attach(), p.Release())
		if len(joined) != len(p.Steps) {
			t.Fatalf("the phases have %d steps, the plan %d", len(joined), len(p.Steps))
		}
		for i := range joined {
			if joined[i].String() != p.Steps[i].String() {
				t.Errorf("step %d is %s in the plan and %s in the phases", i, p.Steps[i], joined[i])
			}
		}
	}
	if len(up.Detach())+len(up.Release()) != 0 || len(down.Prepare())+len(down.Attach()) != 0 {
		t.Error("a plan that only adds removes, or the other way round")
	}
	for _, s := range up.Prepare() {
		if _, isPort := s.Object.(Port); isPort || strings.Contains(s.String(), "forward") {
			t.Errorf("brings traffic before the rules: %s", s)
		}
	}
	if first := down.Steps[0].String(); !strings.HasPrefix(first, "- route 45.86.152.23/32") && !strings.Contains(first, "link tap-") {
		t.Errorf("the first step down does not take traffic away: %s", first)
	}
	if last := down.Steps[len(down.Steps)-1].Object; last != (Namespace{Name: "culvert-blue"}) {
		t.Errorf("the last step down removes %s", last)
	}
}

// TestOrderOfSteps wants what a step needs before it.
func TestOrderOfSteps(t *testing.T) {
	h := hostOf(both(), other())
	seen := make(map[Device]bool)
	for _, s := range fill(h, "tap-a", "tap-z").Steps {
		switch o := s.Object.(type) {
		case Namespace:
			seen[Device{Place(o.Name), ""}] = true
			continue
		case VXLAN, Port:
			seen[Device{s.Place, o.device()}] = true
		case Uplink:
			seen[Device{s.Place, o.device()}], seen[Device{HostPlace, o.Port}] = true, true
		}
		if s.Place != HostPlace && !seen[Device{s.Place, ""}] {
			t.Errorf("before its namespace: %s", s)
		}
		if d := s.Object.device(); d != "" && d != "out0" && !seen[Device{s.Place, d}] {
			t.Errorf("before its device: %s", s)
		}
	}
}

func TestWaitingFor(t *testing.T) {
	a, z := Device{"culvert-acme", "tap-a"}, Device{"culvert-blue", "tap-z"}
	h := hostOf(hypervisor(), other())
	tests := []struct {
		name     string
		observed Observed
		want     []Waiting
	}{
		{"no device", Observed{Facts: exampleFacts()}, []Waiting{{a.Place, a.Name}, {z.Place, z.Name}}},
		{"one device", Observed{Facts: exampleFacts("tap-a")}, []Waiting{{z.Place, z.Name}}},
		{"devices in place", kernelOf(h), nil},
		{"device lent to another tenant", func() Observed {
			turned := hostOf(hypervisor(), other())
			turned.Tenants[0].Interfaces, turned.Tenants[1].Interfaces = turned.Tenants[1].Interfaces, turned.Tenants[0].Interfaces
			return kernelOf(turned)
		}(), nil},
		{"device lent to a tenant that leaves", func() Observed {
			gone := hypervisor()
			gone.Name, gone.VNI, gone.Interfaces = "gone", 900, append(hypervisor().Interfaces, other().Interfaces...)
			return kernelOf(hostOf(gone))
		}(), nil},
		{"device that another tenant keeps", func() Observed {
			keeps := hypervisor()
			keeps.Interfaces = append(keeps.Interfaces, other().Interfaces...)
			h := hostOf(keeps)
			return kernelOf(h)
		}(), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Diff(tt.observed, must(Desired(h, exampleFacts())))
			if !slices.Equal(p.Waiting, tt.want) {
				t.Errorf("waiting for %v, want %v", p.Waiting, tt.want)
			}
			for _, s := range p.Steps {
				for _, w := range p.Waiting {
					if s.Place == w.Place && s.Object.device() == w.Device {
						t.Errorf("step on a device that is not there: %s", s)
					}
				}
			}
		})
	}
}

func TestRenewed(t *testing.T) {
	base := hostOf(both())
	change := func(f func(*topology.Host)) topology.Host {
		h := hostOf(both())
		f(&h)
		return h
	}
	tests := []struct {
		name                     string
		h                        topology.Host
		vx, uplink, tap, hostEnd bool
	}{
		{"nothing", base, false, false, false, false},
		{"port", change(func(h *topology.Host) { h.Port = 8472 }), true, false, false, false},
		{"local", change(func(h *topology.Host) { h.Underlay = mustAddr("192.0.2.9") }), true, false, false, false},
		{"MAC", change(func(h *topology.Host) { h.Tenants[0].Self.MAC = config.MAC{2} }), false, false, false, false},
		{"VM device", change(func(h *topology.Host) { h.Tenants[0].Interfaces[0].Device = "tap-9" }), false, false, true, false},
		{"name", change(func(h *topology.Host) { h.Tenants[0].Name = "acme2" }), true, true, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Diff(kernelOf(base), must(Desired(tt.h, exampleFacts())))
			tenant := tt.h.Tenants[0]
			place := Place(tenant.Namespace())
			for what, got := range map[string][2]bool{
				"VXLAN":    {p.Renewed(place, tenant.Device()), tt.vx},
				"uplink":   {p.Renewed(place, topology.UplinkDevice), tt.uplink},
				"VM":       {p.Renewed(place, tenant.Interfaces[0].Device), tt.tap},
				"host end": {p.Renewed(HostPlace, tenant.UplinkPort()), tt.hostEnd},
			} {
				if got[0] != got[1] {
					t.Errorf("%s renewed: %v, want %v", what, got[0], got[1])
				}
			}
		})
	}
}

// TestChangeText checks how the plan words each verb.
func TestChangeText(t *testing.T) {
	was, is := kernelOf(hostOf(hypervisor())), hypervisor()
	is.Peers[0].Underlay = netip.MustParseAddr("192.0.2.22")
	is.Remote = is.Remote[:1]
	is.Remote[0].Peer = peer(4, true)
	is.Interfaces[0].Addresses = append(is.Interfaces[0].Addresses, mustAddr("10.0.0.13"))
	want := `+ culvert-acme: neigh 10.0.0.13 lladdr 52:54:00:00:00:0a dev tap-a nud permanent
+ culvert-acme: route 10.0.0.13/32 dev tap-a
+ culvert-acme: route unreachable 10.0.0.13/32 metric 1073741824
- culvert-acme: route fd00::47/128 via fd00:c0de::2 dev vx100 onlink
~ culvert-acme: fdb 02:63:76:00:00:02 dev vx100 dst 192.0.2.22 (was: fdb 02:63:76:00:00:02 dev vx100 dst 192.0.2.2)
~ culvert-acme: route 10.0.0.47/32 via 100.64.0.4 dev vx100 onlink (was: route 10.0.0.47/32 via 100.64.0.2 dev vx100 onlink)
`
	p := Diff(was, must(Desired(hostOf(is), exampleFacts())))
	got := strings.Join(slices.Sorted(slices.Values(lines(p.String()))), "\n") + "\n"
	if got != want {
		t.Errorf("plan:\n%s\nwant:\n%s", got, want)
	}
	if p.Empty() || !(Plan{}).Empty() || !(Plan{Waiting: []Waiting{{}}}).Empty() {
		t.Error("a plan is empty that has steps, or is not that has none")
	}
}

// TestDiffIsDeterministic makes the same plan again and again: maps have another order each time.
func TestDiffIsDeterministic(t *testing.T) {
	first := fill(hostOf(both(), other()), "tap-a").String()
	for range 20 {
		if again := fill(hostOf(both(), other()), "tap-a").String(); again != first {
			t.Fatalf("first:\n%s\nthen:\n%s", first, again)
		}
	}
}
