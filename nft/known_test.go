package nft

import (
	"slices"
	"testing"
)

// know returns what is known of the stage, which must be as desired.
func (s *stage) know(desired []Table) Known {
	s.Helper()
	s.is(desired)
	known, ok := s.conn.Know(desired)
	if !ok {
		s.Skip("this kernel's namespaces have no cookies (Linux 5.14)")
	}
	if still, err := s.conn.Still(known, desired); !still || err != nil {
		s.Fatalf("what has just been read is not known: %v", err)
	}
	return known
}

// TestStill does to rules, while nobody looks, what must not go unseen.
func TestStill(t *testing.T) {
	desired := Desired(hypervisor())
	for _, tt := range []struct {
		name string
		harm func(s *stage)
	}{
		{"a rule goes", func(s *stage) { s.nft("flush", "chain", "ip", TableName, chainForward) }},
		{"a rule comes", func(s *stage) { s.nft("insert", "rule", "ip", TableName, chainForward, "accept") }},
		{"an element goes", func(s *stage) { s.nft("flush", "set", "ip", TableName, setInside) }},
		{"a table goes", func(s *stage) { s.nft("delete", "table", "ip6", TableName) }},
		{"all goes and comes back", func(s *stage) {
			must(s, s.conn.Apply(Diff(s.observe(), nil)))
			must(s, s.conn.Apply(Diff(nil, desired)))
		}},
		{"the devices are made anew", func(s *stage) {
			s.removeDevices()
			s.addDevices()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t)
			s.become(desired)
			known := s.know(desired)
			tt.harm(s)
			if still, err := s.conn.Still(known, desired); still || err != nil {
				t.Errorf("not seen (%v)", err)
			}
		})
	}
}

// TestStillElsewhere takes what is known of one namespace to another that had as many transactions.
func TestStillElsewhere(t *testing.T) {
	desired := Desired(hypervisor())
	s, other := newStage(t), newStage(t)
	s.become(desired)
	other.become(desired)
	known := s.know(desired)
	if still, err := other.conn.Still(known, desired); still || err != nil {
		t.Errorf("another namespace is taken for it (%v)", err)
	}
}

// TestKnownDigestsDiffer changes one thing at a time that there is something to do for.
func TestKnownDigestsDiffer(t *testing.T) {
	for what, change := range map[string]func(t *Table){
		"a rule":         func(t *Table) { t.Chains[0].Rules[0].Digest += " " },
		"a chain's name": func(t *Table) { t.Chains[0].Name += "s" },
		"a priority": func(t *Table) {
			t.Chains[slices.IndexFunc(t.Chains, func(c Chain) bool { return c.Base != nil })].Base.Priority++
		},
		"a counter":    func(t *Table) { t.Counters[0].Name += "s" },
		"a set's name": func(t *Table) { t.Sets[0].Name += "s" },
		"a range":      func(t *Table) { t.Sets[0].Range = !t.Sets[0].Range },
		"a timeout":    func(t *Table) { t.Sets[0].Timeout++ },
		"elements":     func(t *Table) { clear(t.Sets[0].Elements) },
		"a table":      func(t *Table) { *t = Table{Family: ARPFamily} },
	} {
		one, other := Desired(hypervisor()), Desired(hypervisor())
		change(&other[0])
		if Diff(one, other).Empty() {
			t.Errorf("%s: that is no change", what)
		}
		if digest(one) == digest(other) {
			t.Errorf("%s: one digest for both", what)
		}
	}
}

// TestKnownDigests keeps the roles apart by what is wanted of them.
func TestKnownDigests(t *testing.T) {
	digests := make(map[string]string)
	for _, r := range roles() {
		d := digest(Desired(r.tenant))
		if other, taken := digests[d]; taken {
			t.Errorf("%s and %s have one digest", r.name, other)
		}
		digests[d] = r.name
		if d != digest(Desired(r.tenant)) {
			t.Errorf("%s has two digests", r.name)
		}
	}
	s, one, other := newStage(t), Desired(hypervisor()), Desired(withVIPs())
	s.become(one)
	if still, err := s.conn.Still(s.know(one), other); still || err != nil {
		t.Errorf("what is known of one is taken for another (%v)", err)
	}
}
