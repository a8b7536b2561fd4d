package nft

import (
	"strings"
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// TestDormant has somebody switch off the tables of all families, which keep all that is in them: they are switched on again, with what they have
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
	if len(desired) != 5 {
		t.Fatalf("%d tables, want one of each family", len(desired))
	}
	var want, harm string
	for _, table := range desired {
		want += "~ table " + table.Family.String() + " culvert: awake\n"
		harm += "add table " + table.Family.String() + " culvert { flags dormant; };"
	}
	s.nft(harm)
	if plan := s.become(desired).String(); plan != want {
		t.Errorf("the plan is %q, want %q", plan, want)
	}
	if got := s.nft("list", "ruleset"); strings.Contains(got, "dormant") {
		t.Errorf("there still is one that is dormant:\n%s", got)
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
