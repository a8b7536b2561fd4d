package nft

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/culvertnet/culvert/topology"
)

// byPeer reads what was sent on to each peer, in packets, without those that got nothing.
func (l *lot) byPeer() map[string]uint64 {
	l.Helper()
	all, err := l.conn.CountersByPeer()
	must(l, err)
	out := make(map[string]uint64)
	for counter, peers := range all {
		for peer, n := range peers {
			if n.Packets > 0 {
				out[counter+"/"+peer] = n.Packets
			}
		}
	}
	return out
}

// sent is what came out on the overlay, by the MAC that it went to.
func sent(out []string) map[string]uint64 {
	n := make(map[string]uint64)
	for _, line := range out {
		_, to, _ := strings.Cut(strings.Fields(line)[1], ">")
		n[to]++
	}
	return n
}

// TestByPeer sends what is others' in each of the ways there are, and compares what is counted by peer with what came out for it.
func TestByPeer(t *testing.T) {
	const hv2, edge2 = "02:63:76:00:00:02", "02:63:76:00:00:04"
	tenant := withVIPs()
	l := newLot(t, tenant)
	toVIP := reply(2100).with(func(f *frame) { f.destination = vipB })
	ping := reply(0).with(func(f *frame) { f.protocol, f.payload = icmpProtocol, echo(0, 3080) })
	out, _ := l.pass(l.vx, reply(2048), reply(3071), reply(3072), failing(3, about(udp, ports(2100, 443))), ping, toVIP, toVIP,
		reply(1100), reply(4000), reply(2048).with(func(f *frame) { f.from = hv2MAC })) // these three are nobody's, or must not be sent on
	if diff := cmp.Diff(map[string]uint64{hv2: 5, edge2: 2}, sent(out)); diff != "" {
		t.Errorf("what came out (-want +got):\n%s", diff)
	}
	first, last := fragments(2100)
	if out, _ = l.pass(l.vx, first, last); len(out) != 2 {
		t.Errorf("of a datagram in fragments came out %q", out)
	}
	v6 := frame6(edge1MAC, netip.MustParseAddr("2001:db8:ffff::1"), vipB6, udp, ports(443, 2100))
	copy(v6, hv1MAC[:])
	if got := l.counted(l.vx, v6); got["netdev/redirected"] != 1 {
		t.Errorf("of IPv6 was counted %v", got)
	}
	want := map[string]uint64{"netdev/redirected/hv2": 6, "netdev/redirected/edge2": 2, "ip/reassembled/hv2": 1}
	if diff := cmp.Diff(want, l.byPeer()); diff != "" {
		t.Errorf("by peer (-want +got):\n%s", diff)
	}

	// One peer's ports change, a peer comes, one goes: what the others got stays, and counts are no drift.
	tenant.NAT.Owners = slices.Clone(tenant.NAT.Owners)
	tenant.NAT.Owners[0].Block = block(2048, 2111)
	hv5 := topology.Peer{Host: "hv5", ID: 5, MAC: topology.RouterMAC(5), IPv4: netip.MustParseAddr("100.64.0.5"), IPv6: netip.MustParseAddr("fd00:c0de::5"), Hypervisor: true}
	tenant.Peers = append(slices.Clone(tenant.Peers), hv5)
	l.become(Desired(tenant))
	if diff := cmp.Diff(want, l.byPeer()); diff != "" {
		t.Errorf("by peer, after changes (-want +got):\n%s", diff)
	}
	tenant.Peers = slices.DeleteFunc(tenant.Peers, func(p topology.Peer) bool { return p.Host == "edge2" })
	tenant.NAT.Owners = slices.DeleteFunc(tenant.NAT.Owners, func(o topology.Owner) bool { return o.Peer.Host == "edge2" })
	l.become(Desired(tenant))
	delete(want, "netdev/redirected/edge2")
	if diff := cmp.Diff(want, l.byPeer()); diff != "" {
		t.Errorf("by peer, without edge2 (-want +got):\n%s", diff)
	}
}

// TestByPeerIsNoCondition takes a peer out of the set: packets for it are sent on all the same, and the next plan puts it back.
func TestByPeerIsNoCondition(t *testing.T) {
	l := newLot(t, hypervisor())
	l.nft("delete element netdev culvert peers { 100.64.0.2 }")
	if out, counted := l.pass(l.vx, reply(2048)); len(out) != 1 || counted["netdev/redirected"] != 1 {
		t.Errorf("came out: %q, counted %v", out, counted)
	}
	if plan := l.become(Desired(hypervisor())); !slices.Contains(plan.Lines, `+ netdev peers { 100.64.0.2 counter packets 0 bytes 0 comment "hv2" }`) {
		t.Errorf("the plan is\n%s", plan)
	}
}

// TestOwnersAreCounted holds every role against the rule that whoever packets are sent on to is counted.
func TestOwnersAreCounted(t *testing.T) {
	compared := 0
	for _, r := range roles() {
		for _, table := range Desired(r.tenant) {
			peers := table.set(setPeers)
			for _, name := range []string{mapOwners, mapVIPOwners, mapVIPOwners6, mapListenerNodes, mapAddressNodes} {
				owners := table.set(name)
				if owners == nil {
					continue
				}
				for _, owner := range owners.Elements {
					compared++
					if peers == nil || peers.Elements[owner] == "" {
						t.Errorf("%s %s: %s has %s, whom nobody counts", r.name, table.Family, name, owners.Data.format(owner))
					}
				}
			}
		}
	}
	if compared == 0 {
		t.Error("no role has owners: the test compares nothing")
	}
}
