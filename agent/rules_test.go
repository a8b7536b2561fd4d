package agent

import (
	"maps"
	"testing"

	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
)

// TestDoubt has rules read that are known to be right, once, and forgets nothing that was read and is so.
func TestDoubt(t *testing.T) {
	r, s := newRig(t), parse(t, fleetYAML)
	r.settle(s)
	known := r.Known()
	if len(known) == 0 {
		t.Skip("this kernel's namespaces have no cookies (Linux 5.14)")
	}
	for _, place := range []overlay.Place{overlay.HostPlace, "culvert-acme", "culvert-blue"} {
		if _, ok := known[place]; !ok {
			t.Errorf("the rules of %s are not known", placeName(place))
		}
	}
	r.Doubt()
	if !maps.Equal(r.Known(), known) {
		t.Errorf("in doubt, %v is known, want %v", r.Known(), known)
	}
	if p := r.only(s, "blue"); !p.Empty() || !maps.Equal(r.Known(), known) {
		t.Errorf("with one of them read, %v is known, want %v; plan:\n%s", r.Known(), known, p)
	}
	// A lie tells what is read and what is not.
	r.deceive(s, "acme")
	r.deceive(s, "blue")
	if p := r.only(s, "acme", "blue"); len(p.Rules) != 1 || p.Rules[0].Place != "culvert-acme" {
		t.Errorf("not read although in doubt, or read once more:\n%s", p)
	}
	_, acme := r.Known()["culvert-acme"]
	_, blue := r.Known()["culvert-blue"]
	if acme || !blue {
		t.Errorf("acme's rules were found otherwise, blue's not: known %v, %v", acme, blue)
	}
	r.Doubt()
	if err := r.Apply(r.plan(s)); err != nil {
		t.Fatal(err)
	}
	r.settled(s)
	if len(r.Known()) != len(known) {
		t.Errorf("%v is known in the end", r.Known())
	}
}

// deceive breaks a tenant's rules and has the agent know that they are right.
func (r *rig) deceive(s site, tenant string) {
	r.Helper()
	place := overlay.Place(topology.NamespacePrefix + tenant)
	if _, err := r.run("ip", "netns", "exec", r.prefix+string(place), "nft", "flush", "chain", "ip", nft.TableName, "forward"); err != nil {
		r.Fatal(err)
	}
	lie := r.Known()[place]
	err := r.dial(place, func(conn *nft.Conn) error {
		if _, err := conn.Observe(); err != nil {
			return err
		}
		now, _ := conn.Know(nil)
		lie.Generation = now.Generation
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	r.Believe(map[overlay.Place]nft.Known{place: lie})
}
