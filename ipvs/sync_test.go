package ipvs

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// synced is a service on two nodes that tell each other of their flows.
func synced() State {
	s := web(1, 2)
	s.Settings = append(s.Settings, syncSettings()...)
	s.Daemons = []Daemon{{Role: Backup, Device: "lan0", ID: SyncID}, {Role: Master, Device: "lan0", ID: SyncID}}
	return s.sorted()
}

// TestSync drains a backend on both nodes and sends all flows to the other node, at once. Flows that the other node has been
// told of, and flows that are too young for that, go on; new ones go to the backend that stays.
func TestSync(t *testing.T) {
	l := newLAN(t)
	for _, n := range l.nodes {
		n.apply(synced())
	}
	old := l.open(16)
	l.nodes[1].eventually(func() (wrong []string) {
		known, _ := l.nodes[1].connections()
		if len(known) < len(old) {
			wrong = append(wrong, fmt.Sprintf("the other node knows %d of %d flows", len(known), len(old)))
		}
		return wrong
	})
	young := l.open(16)
	flows := slices.Concat(old, young)
	for _, some := range [][]*live{old, young} {
		if !slices.ContainsFunc(some, func(f *live) bool { return f.server == "backend2" }) {
			t.Fatal("no flow at the backend that drains")
		}
	}
	drained := synced()
	drained.Services[0].Destinations[1].Weight = 0
	var plans [2]Plan
	for i, n := range l.nodes {
		plans[i] = Diff(n.observe(), drained)
		if err := Apply(n.ns, plans[i]); err != nil {
			t.Fatal(err)
		}
	}
	settle := time.NewTimer(SettleTime)
	l.by(1)
	for _, f := range flows {
		f.ask(t)
	}
	<-settle.C
	for i, n := range l.nodes {
		if err := Settle(n.ns, plans[i]); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for _, f := range flows {
			if by := f.answer(t); by != f.server {
				t.Errorf("flow from %s to %s is answered by %q", f.LocalAddr(), f.server, by)
			}
			f.ask(t)
		}
	}
	for _, f := range l.open(20) {
		if f.server != "backend1" {
			t.Errorf("a new flow goes to %s, which drains", f.server)
		}
	}
}
