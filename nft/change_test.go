package nft

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// additions are what becomes of a hypervisor when something is added.
func additions() []role {
	grown, shared, moved, more := perInterface(), hypervisor(), hypervisor(), hypervisor()
	grown.NAT.Sources[0].Blocks = append(grown.NAT.Sources[0].Blocks, block(6144, 7167))
	shared.NAT.Sources = append(shared.NAT.Sources, topology.Source{Address: vmC, Blocks: shared.NAT.Sources[0].Blocks})
	moved.NAT.Owners[0].Peer = moved.Peers[2]
	for i := range more.NAT.Sources {
		more.NAT.Sources[i].Blocks = append(slices.Clone(more.NAT.Sources[i].Blocks), block(8192, 9215))
	}
	return []role{{"a block more per interface", grown}, {"a VM more", shared}, {"another owner", moved}, {"a block more", more}}
}

func TestCreateAndDelete(t *testing.T) {
	for _, r := range roles() {
		t.Run(r.name, func(t *testing.T) {
			s := newStage(t)
			s.become(Desired(r.tenant))
			s.become(nil)
			if got := s.nft("list", "ruleset"); got != "" {
				t.Errorf("after deletion there is still:\n%s", got)
			}
		})
	}
}

// TestEveryChange goes from every role to every other and to nothing, and back, in one namespace; where the kernel is emulated, from each
// to every fourth.
func TestEveryChange(t *testing.T) {
	s := newStage(t)
	now, known := role{name: "nothing"}, digest(nil)
	change := func(to role) {
		var desired []Table
		if to.name != "nothing" {
			desired = Desired(to.tenant)
		}
		plan := s.become(desired)
		if plan.Empty() {
			t.Errorf("from %s to %s there is nothing to do", now.name, to.name)
		}
		if d := digest(desired); d == known {
			t.Errorf("%s and %s have one digest", now.name, to.name)
		} else {
			known = d
		}
		if strings.Contains(plan.String(), "~ table ip ") && now.tenant.Hypervisor && to.tenant.Hypervisor {
			t.Errorf("from %s to %s loses the counters:\n%s", now.name, to.name, plan)
		}
		now = to
	}
	step := 1
	if os.Getenv("CULVERT_KERNEL") != "" {
		step = 4
	}
	all := append(roles(), role{name: "nothing"})
	for i, one := range all {
		if now.name != one.name {
			change(one)
		}
		for j := i + 1; j < len(all); j += step {
			change(all[j])
			change(one)
		}
	}
	for _, base := range all[:2] {
		for _, more := range additions() {
			change(base)
			change(more)
		}
	}
}

// TestCountersSurvive shows that a change of rules, elements and chains keeps what was counted.
func TestCountersSurvive(t *testing.T) {
	s := newStage(t)
	s.become(Desired(inside()))
	// Loopback of a cable: what one end sends without being a host of the tenant is a stranger at the other.
	s.strange()
	if got := s.counts()["netdev/stranger"]; got == 0 {
		t.Fatal("the stranger was not counted")
	}
	before := s.counts()["netdev/stranger"]
	for _, r := range []role{{"", hypervisor()}, {"", perInterface()}, {"", inside()}} {
		s.become(Desired(r.tenant))
		if got := s.counts()["netdev/stranger"]; got < before {
			t.Errorf("the counter fell from %d to %d", before, got)
		}
	}
}

// strange makes the far end of the cable send something.
func (s *stage) strange() {
	s.Helper()
	for _, name := range []string{"vx100", topology.UplinkDevice} {
		l, err := s.link.LinkByName(name)
		must(s, err)
		must(s, s.link.LinkSetUp(l))
	}
	far, err := s.link.LinkByName(topology.UplinkDevice)
	must(s, err)
	sock := newWire(s, s.ns, far)
	sock.send(frame{from: topology.RouterMAC(77), to: topology.RouterMAC(1), source: vmB, destination: vmA, ttl: 64, protocol: udp, payload: ports(1, 2)})
}

// TestDeviceMadeAnew covers the kernels that forget a chain when its device goes (before 6.13) and those that keep it for the
// next device of that name: with the index of the old device in its rules.
func TestDeviceMadeAnew(t *testing.T) {
	for _, r := range roles() {
		t.Run(r.name, func(t *testing.T) {
			s := newStage(t)
			desired := Desired(r.tenant)
			s.become(desired)
			s.removeDevices()
			if r.tenant.Hypervisor && r.tenant.NAT != nil {
				if plan := Diff(s.observe(), desired); plan.Empty() {
					t.Error("without the device the rules count as right")
				}
			}
			s.addDummy("another-index")
			s.addDevices()
			s.become(desired)
		})
	}
}

// addDummy makes a link, so that later links get other indices than before.
func (s *stage) addDummy(name string) {
	s.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name[:min(len(name), 15)]
	must(s, s.link.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "p-" + attrs.Name[:8]}))
}

// TestForget shows that a plan made before a device is renewed is right after that.
func TestForget(t *testing.T) {
	s := newStage(t)
	desired := Desired(both())
	s.become(desired)
	plan := Diff(Forget(Forget(s.observe(), "vx100"), topology.UplinkDevice), desired)
	s.removeDevices()
	s.addDummy("another-index")
	s.addDevices()
	must(t, s.conn.Apply(plan))
	s.is(desired)
}

// TestMissingDevice shows what the error says when a rule names a device that is not there.
func TestMissingDevice(t *testing.T) {
	ns, link := newNamespace(t)
	s := &stage{TB: t, ns: ns, link: link}
	s.dial()
	err := s.conn.Apply(Diff(nil, Desired(hypervisor())))
	if err == nil || !strings.Contains(err.Error(), "find device vx100") {
		t.Errorf("error is %v, want one that names vx100", err)
	}
	s.is(nil)
}

// TestForeignTables shows that tables of others are neither seen nor touched.
func TestForeignTables(t *testing.T) {
	s := newStage(t)
	s.nft("add table ip other; add chain ip other c; add table ip6 culvert-like")
	before := s.nft("list", "ruleset")
	s.become(Desired(hypervisor()))
	s.become(nil)
	if got := s.nft("list", "ruleset"); got != before {
		t.Errorf("others' tables became\n%s\nfrom\n%s", got, before)
	}
}

// TestMeddling shows that what somebody changes by hand in our tables is put right.
func TestMeddling(t *testing.T) {
	desired := Desired(perInterface())
	for _, command := range []string{
		"flush chain ip culvert forward",
		"insert rule ip culvert forward accept",
		"add rule ip culvert outbound drop comment \"mine\"",
		"flush set ip culvert publics",
		"delete element ip culvert blocks { 10.0.0.12 }",
		"add element netdev culvert routers { 02:00:00:00:00:01 }",
		"add chain ip culvert more",
		"add counter ip culvert more",
		"add set ip culvert more { type mark; }",
		"delete table ip6 culvert",
		"flush ruleset",
	} {
		t.Run(command, func(t *testing.T) {
			s := newStage(t)
			s.become(desired)
			s.nft(command)
			if plan := s.become(desired); plan.Empty() {
				t.Error("nobody noticed")
			}
		})
	}
}

// TestPlanText holds what a plan says.
func TestPlanText(t *testing.T) {
	var b strings.Builder
	from, to := hypervisor(), hypervisor()
	to.NAT.Owners[0].Block = portmap.Block{Address: public, First: 2048, Last: 2111}
	to.NAT.Sources[0].Blocks = []portmap.Block{block(1024, 1087)}
	to.NAT.Addresses = append(to.NAT.Addresses, netip.MustParseAddr("45.86.152.24"))
	for _, step := range []struct {
		title    string
		from, to []Table
	}{
		{"a smaller block", Desired(from), Desired(to)},
		{"also an edge", Desired(from), Desired(both())},
		{"no NAT gateway any more", Desired(from), Desired(inside())},
		{"gone", Desired(from), nil},
		{"a chain that changed its hook", rehooked(Desired(edge())), Desired(edge())},
	} {
		b.WriteString("# " + step.title + "\n" + Diff(step.from, step.to).String() + "\n")
	}
	golden(t, "testdata/plans.txt", b.String())
}

// rehooked moves the chains of the IPv4 table to another priority.
func rehooked(tables []Table) []Table {
	base := *tables[1].Chains[0].Base
	base.Priority = -150
	tables[1].Chains[0].Base = &base
	return tables
}
