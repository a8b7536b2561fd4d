package nft

import (
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// givenUp is hv1 after its upper ports have gone: nobody has them, or hv2.
func givenUp(heir bool) topology.Tenant {
	t := hypervisor()
	t.NAT.Sources[0].Blocks = []portmap.Block{block(1024, 1087)}
	if heir {
		t.NAT.Owners = append(t.NAT.Owners, topology.Owner{Block: block(1088, 2047), Peer: t.Peers[0]})
	} else {
		t.NAT.Freed = []portmap.Block{block(1088, 2047)}
	}
	return t
}

// spread opens flows of every protocol until some have ports on both sides of the border, and returns how many are above.
func (l *lot) spread(border uint16) (below, above int) {
	l.Helper()
	for i := range uint16(20) {
		for _, f := range []frame{request(40000 + i), ping(40000 + i)} {
			if l.leaves(f) < border {
				below++
			} else {
				above++
			}
		}
	}
	if below == 0 || above == 0 {
		l.Fatalf("%d flows below port %d, %d above", below, border, above)
	}
	return below, above
}

// TestFlowsOfForeignPortsEnd takes ports away while flows use them, be they others' now or nobody's: those end, the rest goes on.
func TestFlowsOfForeignPortsEnd(t *testing.T) {
	for name, heir := range map[string]bool{"nobody's": false, "hv2's": true} {
		t.Run(name, func(t *testing.T) {
			l := newLot(t, hypervisor())
			old := hypervisor()
			old.NAT.Sources[0].Blocks = []portmap.Block{block(1024, 1087), block(1088, 2047)} // both in use
			l.become(Desired(old))
			below, _ := l.spread(1088)
			l.become(Desired(givenUp(heir)))
			if n := l.entries(); n != below {
				t.Errorf("conntrack has %d entries, want the %d below", n, below)
			}
			for i := range uint16(20) {
				if port := l.leaves(request(40000 + i)); port >= 1088 {
					t.Errorf("a VM sends from port %d, which is not its host's", port)
				}
			}
		})
	}
}

// TestFlowsOfForeignPortsEndWithoutTheTable has somebody delete the rules before the ports are taken away: the flows are still there,
// and end.
func TestFlowsOfForeignPortsEndWithoutTheTable(t *testing.T) {
	for name, heir := range map[string]bool{"nobody's": false, "hv2's": true} {
		t.Run(name, func(t *testing.T) {
			l := newLot(t, hypervisor())
			old := hypervisor()
			old.NAT.Sources[0].Blocks = []portmap.Block{block(1024, 1087), block(1088, 2047)}
			l.become(Desired(old))
			below, _ := l.spread(1088)
			must(t, l.conn.Apply(Diff(Desired(old), nil)))
			l.become(Desired(givenUp(heir)))
			if n := l.entries(); n != below {
				t.Errorf("conntrack has %d entries, want the %d below", n, below)
			}
		})
	}
}

// TestFlowsOfVMsEnd gives a private address to another VM of this host, or none: the old one's flows end, those of a VM that gets
// another device do not.
func TestFlowsOfVMsEnd(t *testing.T) {
	gone := hypervisor()
	gone.Interfaces, gone.NAT.Sources = gone.Interfaces[1:], nil
	next := hypervisor()
	next.Interfaces[0].MAC = config.MAC{0x52, 0x54, 0, 0, 0, 0x0f}
	renamed := hypervisor()
	renamed.Interfaces[0].Device = "tap-z"
	for name, tt := range map[string]struct {
		tenant topology.Tenant
		want   int
	}{"gone": {gone, 0}, "another NIC": {next, 0}, "another device": {renamed, 2}} {
		t.Run(name, func(t *testing.T) {
			l := newLot(t, hypervisor())
			l.leaves(request(40000))
			l.leaves(ping(40000))
			l.become(Desired(tt.tenant))
			if n := l.entries(); n != tt.want {
				t.Errorf("conntrack has %d entries, want %d", n, tt.want)
			}
		})
	}
}

// elsewhere is hv1 after the NAT gateway has got another public address instead of its own.
func elsewhere() topology.Tenant {
	t := hypervisor()
	t.NAT.Addresses[0] = public.Next()
	t.NAT.Sources[0].Blocks = []portmap.Block{{Address: public.Next(), First: 1024, Last: 2047}}
	t.NAT.Owners = nil
	return t
}

// TestFlowsOfAddressesEnd takes a public address from the tenant's NAT gateway while flows use it.
func TestFlowsOfAddressesEnd(t *testing.T) {
	l := newLot(t, hypervisor())
	l.leaves(request(40000))
	l.become(Desired(elsewhere()))
	if n := l.entries(); n != 0 {
		t.Errorf("conntrack has %d entries of an address that is not the tenant's", n)
	}
}
