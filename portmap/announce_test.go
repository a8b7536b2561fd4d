package portmap

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/culvertnet/culvert/config"
)

// TestAnnounce edits fleets at random. Where a step goes before, it is proven, everybody knows by it who owns which port of the
// next lock, and no claimant of before uses a port that it did not have.
func TestAnnounce(t *testing.T) {
	steps := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for range rapid.IntRange(1, 30).Draw(t, "edits") {
			fleet, lock := copyFleet(w.fleet), w.lock
			w.edit(t)
			stepFleet, step, ok := Announce(fleet, lock, w.fleet, w.lock)
			if !ok {
				continue
			}
			steps++
			if err := Prove(step, stepFleet); err != nil {
				t.Fatalf("proof of the step: %v", err)
			}
			for name, next := range w.lock.Tenants {
				checkAnnounced(t, lock.Tenants[name], step.Tenants[name], next)
			}
			// The next pair follows from the step as it followed from what was before.
			if err := Prove(w.lock, w.fleet); err != nil {
				t.Fatal(err)
			}
		}
	})
	if steps == 0 {
		t.Error("nothing ever grew")
	}
}

func checkAnnounced(t *rapid.T, old, step, next *Tenant) {
	if len(step.Claims) != len(next.Claims) {
		t.Fatalf("claims %v, want those of %v", step.Claims, next.Claims)
	}
	for i, c := range step.Claims {
		n := next.Claims[i]
		if c.Claimant != n.Claimant || !slices.Equal(merge(c.Blocks, c.Retired), merge(n.Blocks, n.Retired)) {
			t.Fatalf("%v answers for other ports than %v", c, n)
		}
		was, known := old.Claim(c.Claimant)
		if !known || len(was.Blocks) == 0 || slices.Equal(c.Blocks, n.Blocks) {
			continue
		}
		if !slices.Equal(c.Blocks, was.Blocks) {
			t.Fatalf("%v uses %v before all know; it had %v", c.Claimant, c.Blocks, was.Blocks)
		}
	}
}

// TestAnnounceGrowth has the ports of a lower block taken in by growth: the old ones stay in use until all know.
func TestAnnounceGrowth(t *testing.T) {
	fleet, err := config.Parse("fleet.yaml", []byte(`
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
tenants:
  - name: acme
    vni: 1
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
    interfaces:
      - {name: a, host: hv1, device: a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.1]}
      - {name: b, host: hv2, device: b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.2]}
`))
	if err != nil {
		t.Fatal(err)
	}
	old := mustAllocate(t, nil, fleet)
	more := copyFleet(fleet)
	more.Tenants[0].NATGateway.PortsPerHost = 2048
	next := mustAllocate(t, old, more)
	stepFleet, step, ok := Announce(fleet, old, more, next)
	if !ok || stepFleet.Tenants[0].NATGateway.PortsPerHost != 1024 || more.Tenants[0].NATGateway.PortsPerHost != 2048 {
		t.Fatalf("step %t, %+v", ok, stepFleet.Tenants[0].NATGateway)
	}
	text, err := Encode(step)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode("step", text)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := again.Tenants["acme"].Claim(Claimant{Host: "hv1"})
	if got := c.Blocks[0].String() + ", retired " + c.Retired[0].String(); got != "45.86.152.23 1024-2047 (1024 ports), retired 45.86.152.23 4096-5119 (1024 ports)" {
		t.Errorf("hv1 has %s", got)
	}
	for name, pair := range map[string]int{"shrink": 512, "same": 1024} {
		less := copyFleet(fleet)
		less.Tenants[0].NATGateway.PortsPerHost = pair
		if _, _, ok := Announce(fleet, old, less, mustAllocate(t, old, less)); ok {
			t.Errorf("%s: a step", name)
		}
	}
}
