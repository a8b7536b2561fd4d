package portmap

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
)

// freedOf prints what of the tenant is freed, in the lock file's words.
func freedOf(t *testing.T, lock *Lock, tenant string) string {
	t.Helper()
	text, err := Encode(&Lock{Tenants: map[string]*Tenant{tenant: {Freed: lock.Tenants[tenant].Freed}}})
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), tenant+":\n")
	return strings.Join(strings.Fields(rest), " ")
}

// TestFreed has a claimant leave and another one come: never in the same step, and not before all know.
func TestFreed(t *testing.T) {
	fleet := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(32256, addrA)) // an address for two
	old := mustAllocate(t, nil, fleet)
	next := copyFleet(fleet)
	next.Hosts = append(next.Hosts, config.Host{Name: "hv3"})
	next.Tenants[0].Interfaces = someInterfaces("vm-a@hv1 vm-c@hv3")
	var short *Shortage
	if _, err := Allocate(old, next); !errors.As(err, &short) || short.Held != 32256 || !strings.Contains(err.Error(), "hand out what leaves first: 32256 ports") {
		t.Errorf("at once: %v", err)
	}
	left := copyFleet(fleet)
	left.Tenants[0].Interfaces = someInterfaces("vm-a@hv1")
	lock := Date(fleet, old, mustAllocate(t, old, left), 1042)
	if got := freedOf(t, lock, "acme"); got != "freedHosts: hv2: [45.86.152.23:33280-65535@1042]" {
		t.Errorf("freed %s", got)
	}
	if _, err := Allocate(lock, next); !errors.As(err, &short) || short.Held != 32256 {
		t.Errorf("before all know: %v", err)
	}
	var asked []Freed
	settled := Settle(lock, func(f Freed) bool { asked = append(asked, f); return true })
	if len(asked) != 1 || asked[0].After != 1042 || asked[0].Claimant.Host != "hv2" || lock.Tenants["acme"].Freed == nil {
		t.Errorf("asked about %v", asked)
	}
	wantClaims(t, mustAllocate(t, settled, next), "host hv1: 23:1024-33279\n host hv3: 23:33280-65535")
	if !Same(lock, settled) || Same(lock, old) {
		t.Error("what is handed out is compared wrongly")
	}
}

// TestFreedOfInterface dates what an interface had by the host it was on.
func TestFreedOfInterface(t *testing.T) {
	fleet := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perInterface(64, addrA))
	old := mustAllocate(t, nil, fleet)
	left := copyFleet(fleet)
	left.Tenants[0].Interfaces = someInterfaces("vm-a@hv1")
	lock := mustAllocate(t, old, left)
	if got := freedOf(t, lock, "acme"); got != "freedInterfaces: vm-b: [45.86.152.23:1088-1151]" {
		t.Errorf("freed %s", got)
	}
	if got := freedOf(t, Date(fleet, old, lock, 7), "acme"); got != "freedHosts: hv2: [45.86.152.23:1088-1151@7]" {
		t.Errorf("freed %s", got)
	}
	// What was dated stays so.
	gone := copyFleet(left)
	gone.Tenants[0].Interfaces = nil
	dated := Date(fleet, old, lock, 7)
	if got := freedOf(t, Date(left, dated, mustAllocate(t, dated, gone), 9), "acme"); got != "freedHosts: hv1: [45.86.152.23:1024-1087@9] hv2: [45.86.152.23:1088-1151@7]" {
		t.Errorf("freed %s", got)
	}
}

// TestAddressChangesTenant keeps the ports of an address from the tenant that gets it while hosts may use them for another.
func TestAddressChangesTenant(t *testing.T) {
	fleet := aFleet("hv1", "vm-a@hv1", perHost(1024, addrA))
	old := mustAllocate(t, nil, fleet)
	next := copyFleet(fleet)
	next.Tenants[0].NATGateway = perHost(1024, addrB)
	next.Tenants = append(next.Tenants, config.Tenant{Name: "blue", NATGateway: perHost(1024, addrA), Interfaces: someInterfaces("vm-z@hv1")})
	for _, order := range []string{"the old one first", "the new one first"} {
		lock := mustAllocate(t, old, next)
		if got := lock.Tenants["blue"].Claims[0].Blocks; !slices.Equal(got, someBlocks("23:2048-3071")) {
			t.Errorf("%s: blue got %v", order, got)
		}
		slices.Reverse(next.Tenants)
	}
}

func TestProveFreed(t *testing.T) {
	fleet := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(1024, addrA))
	lock := mustAllocate(t, nil, fleet)
	for _, test := range []struct{ block, want string }{
		{"23:3072-4095", ""}, {"24:1024-2047", ""}, {"23:1984-2047", "host hv1 of tenant acme"}, {"23:2048-65535", "host hv2 of tenant acme"},
	} {
		lock.Tenants["acme"].Freed = []Freed{{Block: someBlocks(test.block)[0], Claimant: Claimant{Host: "hv9"}}}
		err := Prove(lock, fleet)
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), string(NotYet)) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", test.block, err)
		}
	}
}
