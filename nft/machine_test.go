package nft

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// drawTenant draws any part that a host can play.
func drawTenant(t *rapid.T) topology.Tenant {
	out := topology.Tenant{Name: "acme", VNI: 100, Nowhere: topology.Nowhere(config.DefaultOverlay()), Overlay: config.DefaultOverlay(), Self: peer(1, "hv1", true, false)}
	out.Hypervisor = rapid.Bool().Draw(t, "hypervisor")
	for id := range rapid.ByteRange(0, 5).Draw(t, "peers") {
		p := peer(id+2, "peer", rapid.Bool().Draw(t, "peer is a hypervisor"), rapid.Bool().Draw(t, "peer is an edge"))
		out.Peers = append(out.Peers, p)
		if p.Hypervisor && out.Hypervisor {
			out.Remote = append(out.Remote, topology.Remote{Address: netip.AddrFrom4([4]byte{10, 0, id, 1}), Peer: p})
		}
	}
	if out.Hypervisor && rapid.Bool().Draw(t, "no NAT gateway") {
		return out
	}
	out.Edge = !out.Hypervisor || rapid.Bool().Draw(t, "edge")
	out.NAT = &topology.NAT{PerInterface: rapid.Bool().Draw(t, "per interface")}
	for i := range rapid.ByteRange(1, 3).Draw(t, "public addresses") {
		out.NAT.Addresses = append(out.NAT.Addresses, netip.AddrFrom4([4]byte{45, 86, 152, i}))
	}
	if !out.Hypervisor {
		return out
	}
	first := portmap.FirstPort
	draw := func(label string) portmap.Block {
		last := first + rapid.IntRange(1, 20).Draw(t, label)*portmap.Granule - 1
		b := portmap.Block{Address: rapid.SampledFrom(out.NAT.Addresses).Draw(t, "address"), First: uint16(first), Last: uint16(last)}
		first = last + 1
		return b
	}
	shared := []portmap.Block{draw("own block")}
	for i := range rapid.ByteRange(0, 4).Draw(t, "sources") {
		blocks := shared
		if out.NAT.PerInterface {
			blocks = nil
			for range rapid.IntRange(1, 3).Draw(t, "blocks") {
				b := draw("own block")
				b.Address = out.NAT.Addresses[0]
				blocks = append(blocks, b)
			}
		}
		out.NAT.Sources = append(out.NAT.Sources, topology.Source{Address: netip.AddrFrom4([4]byte{10, 0, 0, i}), Blocks: blocks})
	}
	for _, p := range out.Peers {
		if p.Hypervisor {
			out.NAT.Owners = append(out.NAT.Owners, topology.Owner{Block: draw("other's block"), Peer: p})
		}
	}
	return out
}

// TestAnySequence takes one namespace through random states: after every change the kernel holds exactly what is desired. States
// between which there is something to do have digests of their own.
func TestAnySequence(t *testing.T) {
	s := newStage(t)
	steps := 0
	var before []Table
	rapid.Check(t, func(rt *rapid.T) {
		if steps > 60 {
			return // each costs the kernel a grace period or two
		}
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			steps++
			desired := Desired(drawTenant(rt))
			if rapid.IntRange(0, 9).Draw(rt, "nothing") == 0 {
				desired = nil
			}
			observed, err := s.conn.Observe()
			if err != nil {
				rt.Fatal(err)
			}
			plan := Diff(observed, desired)
			if !plan.Empty() && digest(before) == digest(desired) {
				rt.Fatalf("one digest before and after:\n%s", plan)
			}
			if err := s.conn.Apply(plan); err != nil {
				rt.Fatalf("%v\n%s", err, plan)
			}
			if observed, err = s.conn.Observe(); err != nil {
				rt.Fatal(err)
			}
			if again := Diff(observed, desired); !again.Empty() {
				rt.Fatalf("a second plan is not empty:\n%s", again)
			}
			if diff := cmp.Diff(desired, observed, sameTables); diff != "" {
				rt.Fatalf("observed is not what is desired (-want +got):\n%s", diff)
			}
			before = desired
		}
	})
}
