package overlay

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var underlay = netip.MustParseAddr("192.0.2.1")

// example is a host that is a hypervisor with one VM, with one peer and one edge.
func example() topology.Host {
	peer := func(id byte, name string) topology.Peer {
		return topology.Peer{
			Host: name, Underlay: netip.AddrFrom4([4]byte{192, 0, 2, id}), MAC: config.MAC{2, 0x63, 0x76, 0, 0, id},
			IPv4: netip.AddrFrom4([4]byte{100, 64, 0, id}), IPv6: netip.MustParseAddr("fd00:c0de::").Next(),
		}
	}
	self, hv2, edge := peer(1, "hv1"), peer(2, "hv2"), peer(3, "edge1")
	hv2.IPv6, edge.IPv6 = netip.MustParseAddr("fd00:c0de::2"), netip.MustParseAddr("fd00:c0de::3")
	self.Hypervisor, hv2.Hypervisor, edge.Edge = true, true, true
	return topology.Host{Name: "hv1", Underlay: underlay, Port: 4789, Tenants: []topology.Tenant{{
		Name: "acme", VNI: 100, Hypervisor: true, Self: self, Peers: []topology.Peer{hv2, edge},
		Interfaces: []config.Interface{{Name: "vm-a", Host: "hv1", Device: "tap-a", MAC: must(config.ParseMAC("52:54:00:00:00:0a")),
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.12"), netip.MustParseAddr("fd00::12")}}},
		Remote: []topology.Remote{{Address: netip.MustParseAddr("10.0.0.47"), Peer: hv2}, {Address: netip.MustParseAddr("fd00::47"), Peer: hv2}},
	}}}
}

func TestTry(t *testing.T) {
	ns := must(netns.Create("ovt-hv1"))
	defer netns.Remove("ovt-hv1")
	defer ns.Close()
	k := Open(ns, "ovt-")
	defer k.Close()
	h := must(k.at(HostPlace))
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "under0", MTU: 1550}, PeerName: "peer0"}); err != nil {
		t.Fatal(err)
	}
	l := must(h.LinkByName("under0"))
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(host(underlay))}); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "tap-a"}, PeerName: "vm0"}); err != nil {
		t.Fatal(err)
	}
	ex := example()
	for range 2 {
		o := must(k.Observe(underlay))
		want := must(Desired(ex, o.Facts))
		p := Diff(o, want)
		t.Logf("%s", p)
		for _, steps := range [][]Step{p.Detach(), p.Prepare(), p.Attach(), p.Release()} {
			if err := k.Apply(steps); len(err) != 0 {
				t.Fatal(err)
			}
		}
	}
	ex.Tenants = nil
	o := must(k.Observe(underlay))
	p := Diff(o, must(Desired(ex, o.Facts)))
	t.Logf("%s", p)
	for _, steps := range [][]Step{p.Detach(), p.Prepare(), p.Attach(), p.Release()} {
		if err := k.Apply(steps); len(err) != 0 {
			t.Fatal(err)
		}
	}
}
