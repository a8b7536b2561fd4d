package nft

import (
	"strings"
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// TestDormant has somebody switch off a table of each family, which keeps all that is in it: it is switched on again, with what it has
// counted.
func TestDormant(t *testing.T) {
	s := newStage(t)
	desired := Desired(withVIPs())
	s.become(desired)
	s.strange()
	counted := s.counts()["netdev/stranger"]
	if counted == 0 {
		t.Fatal("the stranger was not counted")
	}
	families := []string{"netdev", "ip", "ip6", "arp", "inet"}
	if len(families) != len(desired) {
		t.Fatalf("%d tables, want one of each of %q", len(desired), families)
	}
	for _, family := range families {
		s.know(desired)
		s.nft("add table " + family + " culvert { flags dormant; }")
		plan := s.become(desired)
		if want := "~ table " + family + " culvert: awake\n"; plan.String() != want {
			t.Errorf("the plan is %q, want %q", plan, want)
		}
		if got := s.nft("list", "table", family, TableName); strings.Contains(got, "dormant") {
			t.Errorf("it is still dormant:\n%s", got)
		}
	}
	s.strange()
	if now := s.counts()["netdev/stranger"]; now <= counted {
		t.Errorf("the rules counted %d strangers before, and %d after the next one", counted, now)
	}
}

// TestDormantAndChanged has chains with hooks come and go besides, which the kernel does not do while it switches a table on.
func TestDormantAndChanged(t *testing.T) {
	s := newStage(t)
	for _, to := range []topology.Tenant{inside(), hypervisor(), withVIPs(), inside(), edge(), hypervisor()} {
		for _, table := range s.observe() {
			s.nft("add table " + table.Family.String() + " culvert { flags dormant; }")
		}
		s.become(Desired(to))
		if got := s.nft("list", "ruleset"); strings.Contains(got, "dormant") {
			t.Errorf("it is still dormant:\n%s", got)
		}
	}
}
