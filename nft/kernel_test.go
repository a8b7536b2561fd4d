package nft

import (
	"net/netip"
	"os/exec"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

func peer(id byte, name string) topology.Peer {
	v6 := [16]byte{0xfd, 0, 0xc0, 0xde, 15: id}
	return topology.Peer{
		Host: name, ID: portmap.HostID(id), Underlay: netip.AddrFrom4([4]byte{192, 0, 2, id}), MAC: config.MAC{2, 0x63, 0x76, 0, 0, id},
		IPv4: netip.AddrFrom4([4]byte{100, 64, 0, id}), IPv6: netip.AddrFrom16(v6),
	}
}

var public = netip.MustParseAddr("45.86.152.23")

func block(first, last uint16) portmap.Block {
	return portmap.Block{Address: public, First: first, Last: last}
}

// example is hv1 of a tenant with two hypervisors and an edge.
func example() topology.Tenant {
	self, hv2, edge := peer(1, "hv1"), peer(2, "hv2"), peer(3, "edge1")
	self.Hypervisor, hv2.Hypervisor, edge.Edge = true, true, true
	return topology.Tenant{
		Name: "acme", VNI: 100, Hypervisor: true, Self: self, Peers: []topology.Peer{hv2, edge},
		NAT: &topology.NAT{
			Addresses: []netip.Addr{public},
			Sources:   []topology.Source{{Address: netip.MustParseAddr("10.0.0.12"), Blocks: []portmap.Block{block(1024, 2047)}}},
			Owners:    []topology.Owner{{Block: block(2048, 3071), Peer: hv2}},
		},
	}
}

func TestTry(t *testing.T) {
	ns, err := netns.Create("nfttry")
	if err != nil {
		t.Fatal(err)
	}
	defer netns.Remove("nfttry")
	defer ns.Close()
	exec.Command("ip", "-n", "nfttry", "link", "add", "vx100", "type", "veth", "peer", "uplink").Run()
	c, err := Dial(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ex := example()
	try := func(want []Table) {
		for range 2 {
			was, err := c.Observe()
			if err != nil {
				t.Fatal(err)
			}
			p := Diff(was, want)
			t.Logf("%s", p)
			if err := c.Apply(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	try(Desired(ex))
	out, err := exec.Command("ip", "netns", "exec", "nfttry", "nft", "list", "ruleset").CombinedOutput()
	t.Logf("%s %v", out, err)
	for _, tb := range Desired(ex) {
		t.Logf("%s", tb)
	}
	ex.NAT.PerInterface = true
	try(Desired(ex))
	ex.Edge = true
	try(Desired(ex))
	ex.Hypervisor = false
	try(Desired(ex))
	try(nil)
}
