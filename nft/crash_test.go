package nft

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// crash carries the plan out as a program does that dies before it has ended flows. It returns the plan.
func (l *lot) crash(desired []Table) Plan {
	l.Helper()
	half := Diff(l.observe(), desired)
	whole := half
	half.last, half.unbound = nil, nil
	must(l, l.conn.Apply(half))
	return whole
}

// TestFlowsEndAfterACrash has the program end between the two transactions: the next one does the rest.
func TestFlowsEndAfterACrash(t *testing.T) {
	l := newLot(t, hypervisor())
	old := hypervisor()
	old.NAT.Sources[0].Blocks = []portmap.Block{block(1024, 1087), block(1088, 2047)}
	l.become(Desired(old))
	below, above := l.spread(1088)
	l.crash(Desired(givenUp(true)))
	if n := l.entries(); n != below+above {
		t.Errorf("conntrack has %d entries, want %d", n, below+above)
	}
	l.become(Desired(givenUp(true)))
	if n := l.entries(); n != below {
		t.Errorf("conntrack has %d entries, want %d", n, below)
	}
}

// TestFlowsOfAddressesEndAfterACrash has public addresses leave the tenant: one of several, and all, so that the set of them goes as well.
func TestFlowsOfAddressesEndAfterACrash(t *testing.T) {
	endAfterACrash(t, map[string][]Table{"one": Desired(elsewhere()), "all": Desired(inside())})
}

// endAfterACrash has a VM of hv1 open a flow, and the program die on the way to each of the tables, in which the flow may not go on.
func endAfterACrash(t *testing.T, cases map[string][]Table) {
	t.Helper()
	for name, desired := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLot(t, hypervisor())
			l.leaves(request(40000))
			l.crash(desired)
			if n := l.entries(); n != 1 {
				t.Errorf("conntrack has %d entries, want the one of before", n)
			}
			l.become(desired)
			if n := l.entries(); n != 0 {
				t.Errorf("conntrack has %d entries of what is gone", n)
			}
		})
	}
}

// withVMs is hv1 with so many VMs, whose addresses have a byte in common.
func withVMs(common, n byte) topology.Tenant {
	t := hypervisor()
	t.Interfaces, t.NAT.Sources = nil, nil
	for i := range n {
		t.Interfaces = append(t.Interfaces, config.Interface{
			Name: fmt.Sprintf("vm-%d", i), Host: "hv1", Device: "tap-a",
			MAC: config.MAC{0x52, 0x54, 0, 0, common, i}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, common, i})},
		})
	}
	return t
}

// TestFlowsOfVMsEndAfterACrash has a VM leave while others need more room: the next plan knows what has left.
func TestFlowsOfVMsEndAfterACrash(t *testing.T) {
	endAfterACrash(t, map[string][]Table{
		"one VM": Desired(withVMs(1, 1)), "one more than there is room for": Desired(withVMs(1, 16)), "100 VMs": Desired(withVMs(1, 100)),
	})
}

// TestManyVMsLeave has as many VMs come at once as leave, which the room is for: they are there together while flows end.
func TestManyVMsLeave(t *testing.T) {
	s := newStage(t)
	for _, common := range []byte{1, 2, 1} {
		s.become(Desired(withVMs(common, 16)))
	}
}

// TestOwnersMeanwhile has other hosts' ports outgrow their room, or the table made anew: while flows end, fragments for the ports that
// were known find their owner.
func TestOwnersMeanwhile(t *testing.T) {
	more := hypervisor()
	more.NAT.Owners = append(more.NAT.Owners, topology.Owner{Block: block(8192, 16383), Peer: more.Peers[0]})
	first, last := fragments(2100)
	for name, tt := range map[string]struct {
		harm, plan string
		desired    []Table
	}{
		"more room":  {"list tables", "~ ip set owners: made anew with room for 256", Desired(more)},
		"made anew":  {"list tables", "~ table ip culvert: made anew", rehooked(Desired(hypervisor()))},
		"and awaken": {"add table ip culvert { flags dormant; }", "~ ip set owners: made anew with room for 256", Desired(more)},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLot(t, hypervisor())
			l.nft(tt.harm)
			if plan := l.crash(tt.desired).String(); !strings.Contains(plan, tt.plan) {
				t.Errorf("want %q in the plan:\n%s", tt.plan, plan)
			}
			out, counted := l.pass(l.vx, first, last)
			if len(out) != 2 || counted["ip/unknown"] != 0 {
				t.Errorf("of a datagram in fragments came out %q, counted %v", out, counted)
			}
			l.become(tt.desired)
		})
	}
}
