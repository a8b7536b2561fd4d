package measure

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// TestClaims counts ports and flows of claims on two addresses, with retired blocks and ports of others beside them.
func TestClaims(t *testing.T) {
	a, b := netip.MustParseAddr("45.86.152.23"), netip.MustParseAddr("45.86.152.24")
	mine, other := portmap.Claimant{Interface: "vm-a"}, portmap.Claimant{Interface: "vm-z"}
	tenant := &topology.Tenant{Self: topology.Peer{Host: "hv1"}, Interfaces: []config.Interface{{Name: "vm-a"}}}
	locked := &portmap.Tenant{Claims: []portmap.Claim{
		{
			Claimant: mine, Blocks: []portmap.Block{{Address: b, First: 1024, Last: 1151}, {Address: b, First: 2048, Last: 2111}},
			Retired: []portmap.Block{{Address: a, First: 1024, Last: 1087}},
		},
		{Claimant: other, Blocks: []portmap.Block{{Address: b, First: 1152, Last: 2047}}},
	}}
	claims, ledgers := openClaims(tenant, locked)
	for _, flow := range []struct {
		protocol Protocol
		address  netip.Addr
		port     uint16
	}{
		{UDP, b, 1024}, {UDP, b, 1024}, {UDP, b, 1151}, {TCP, b, 1151}, {UDP, b, 2048}, {ICMP, b, 2111},
		{UDP, b, 1152}, {UDP, b, 2047}, // the other's
		{TCP, a, 1024}, {TCP, a, 1087}, // retired
		{TCP, a, 1088}, // nobody's
		{"", b, 1025},  // of a protocol without ports
	} {
		ledgers[flow.address].enter(flow.protocol, flow.port)
	}
	for i := range claims {
		claims[i].settle(ledgers[claims[i].Address], locked)
	}
	want := []Claim{
		{Claimant: mine, Address: a, Retired: 64, Used: map[Protocol]Use{TCP: {Retired: 2, Flows: 2}}},
		{
			Claimant: mine, Address: b, Ports: 192,
			Used: map[Protocol]Use{UDP: {Ports: 3, Flows: 4}, TCP: {Ports: 1, Flows: 1}, ICMP: {Ports: 1, Flows: 1}},
		},
	}
	if diff := cmp.Diff(want, claims, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if got := claims[1].Peak(); got != 3 {
		t.Errorf("peak %d, want 3", got)
	}
	fill := ledgers[b].fill()
	if fill[16] != 1 || fill[17] != 1 || fill[18] != 1 || fill[31] != 1 || fill[32] != 1 || fill[33] != 0 {
		t.Errorf("fill %v", fill[16:34])
	}
}

// TestClaimsOfNobody has a tenant that owns nothing.
func TestClaimsOfNobody(t *testing.T) {
	claims, _ := openClaims(&topology.Tenant{}, nil)
	if len(claims) != 0 {
		t.Errorf("%v", claims)
	}
}
