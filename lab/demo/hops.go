package demo

import (
	"fmt"
)

var hypervisors = []string{"hv1", "hv2", "hv3"}

// view is what the kernel has counted at a moment.
type view struct {
	vm, edge traffic
	// By host: packets on the tenant's VXLAN device, packets redirected, conntrack entries.
	overlay    map[string]traffic
	redirected map[string]uint64
	entries    map[string]int
}

// look reads all counters.
func (s *stage) look() (view, error) {
	v := view{overlay: make(map[string]traffic), redirected: make(map[string]uint64), entries: make(map[string]int)}
	var err error
	if v.vm, err = s.device(tenant+"/vm-b", "eth0"); err != nil {
		return v, err
	}
	if v.edge, err = s.device("edge1", "eth1"); err != nil {
		return v, err
	}
	for _, h := range hypervisors {
		if v.overlay[h], err = s.device(h+"/"+tenant, "vx100"); err != nil {
			return v, err
		}
		if v.redirected[h], err = s.counter(h, "netdev/redirected"); err != nil {
			return v, err
		}
		if v.entries[h], err = s.conntrack(h); err != nil {
			return v, err
		}
	}
	return v, nil
}

// hops prints what each hop counted, and checks that the packets took the way that the story tells.
func (s *stage) hops(landing string, before, after view) error {
	vm, edge := after.vm.since(before.vm), after.edge.since(before.edge)
	overlay := func(h string) traffic { return after.overlay[h].since(before.overlay[h]) }
	redirected := func(h string) uint64 { return after.redirected[h] - before.redirected[h] }
	s.say("\n  the way out")
	s.say("    VM B   eth0   %7d packets sent", vm.sent)
	s.say("    hv2    vx100  %7d packets sent to the edge", overlay("hv2").sent)
	s.say("    edge1  eth1   %7d packets sent to the internet, all from %s", edge.sent, public)
	s.say("  the way back")
	s.say("    edge1  eth1   %7d packets received", edge.received)
	if landing != "hv2" {
		s.say("    %s    vx100  %7d packets received, %d redirected to hv2, %d conntrack entries",
			landing, overlay(landing).received, redirected(landing), after.entries[landing])
	}
	s.say("    hv2    vx100  %7d packets received, %d conntrack entries", overlay("hv2").received, after.entries["hv2"])
	s.say("    VM B   eth0   %7d packets received", vm.received)
	if landing != "hv2" {
		s.say("  %d packets took the redirect: one lookup on %s, no route, no conntrack entry", redirected(landing), landing)
	} else {
		s.say("  0 packets took the redirect: hv2 is the owner")
	}
	for _, h := range hypervisors {
		switch {
		case h == landing && h != "hv2":
			// Aggregated segments count once on each device, so numbers of different devices need not be equal; those
			// of the redirect and its device are.
			if got, in := redirected(h), overlay(h).received; got == 0 || got != in {
				return fmt.Errorf("%s received %d packets and redirected %d of them; want all", h, in, got)
			}
			if after.entries[h] != 0 {
				return fmt.Errorf("%s has %d conntrack entries for flows that are not its own", h, after.entries[h])
			}
		case redirected(h) != 0:
			return fmt.Errorf("%s redirected %d packets that never should have landed there", h, redirected(h))
		case h != landing && h != "hv2" && overlay(h).received != 0:
			return fmt.Errorf("%s received %d packets, but has no part in this", h, overlay(h).received)
		}
	}
	if vm.received == 0 || after.entries["hv2"] == 0 {
		return fmt.Errorf("VM B received %d packets and hv2 has %d conntrack entries; want both above 0", vm.received, after.entries["hv2"])
	}
	return nil
}
