package nft

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// small is a tenant whose source has one granule.
func small() topology.Tenant {
	t := hypervisor()
	t.NAT.Sources = []topology.Source{{Address: vmA, Blocks: []portmap.Block{block(1024, 1087)}}}
	t.Interfaces = []config.Interface{t.Interfaces[0]}
	return t
}

// TestExhaustion fills a block: 64 flows pass, the 65th is told with its fourth packet. Another destination is served at once,
// and so are flows that have a port, answered or not.
func TestExhaustion(t *testing.T) {
	const told = "tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 64 icmp 3/13 100.64.0.1>10.0.0.12 [udp 10.0.0.12:40064>198.51.100.1:443]"
	l := newLot(t, small())
	used := make(map[uint16]bool)
	for i := range uint16(64) {
		used[l.leaves(request(40000+i))] = true
	}
	if len(used) != 64 {
		t.Errorf("64 flows have %d ports", len(used))
	}
	l.expect(l.tap, nil, nil, request(40064), request(40064), request(40064))
	l.expect(l.tap, []string{told}, counts{"ip/exhausted": 1}, request(40064))
	l.expect(l.tap, []string{told}, counts{"ip/exhausted": 1}, request(40064))
	// The others go on.
	for range 2 {
		if port := l.leaves(request(40000)); !used[port] {
			t.Errorf("port %d is new", port)
		}
	}
	// Every flow has a try of its own, towards another destination with success.
	l.expect(l.tap, nil, nil, request(40065))
	l.leaves(request(40064).with(func(f *frame) { f.destination = vmE.Next() }))
	if n := l.entries(); n != 65 {
		t.Errorf("conntrack has %d entries, want 65", n)
	}
}

// TestEntriesAreForgotten shows that a flow that is seen to have an entry is no longer remembered: one that comes again after
// its entry has ended has all its tries.
func TestEntriesAreForgotten(t *testing.T) {
	l := newLot(t, small())
	for range triesOfSmall + 1 {
		l.leaves(request(40000))
		l.leaves(request(40000))
		must(t, l.ns.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }))
	}
}

// TestTries shows how many packets of a flow may look for a port before the VM is told.
func TestTries(t *testing.T) {
	for _, tt := range []struct {
		last uint16
		want uint32
	}{{1087, triesOfSmall}, {1151, triesOfSmall}, {1215, triesOfLarge}, {2047, triesOfLarge}} {
		tenant := small()
		tenant.NAT.Sources[0].Blocks[0].Last = tt.last
		if got := (&builder{t: tenant}).tries(); got != tt.want {
			t.Errorf("block %s: %d tries, want %d", tenant.NAT.Sources[0].Blocks[0], got, tt.want)
		}
	}
}

// TestDynamicSets shows which sets that packets fill become which.
func TestDynamicSets(t *testing.T) {
	few, many := Set{Timeout: time.Second, size: 16}, Set{Timeout: time.Second, size: 32}
	for name, ok := range map[string]bool{
		"smaller": many.becomes(few), "larger": !few.becomes(many), "plain": !many.becomes(Set{size: 16}),
		"longer": !many.becomes(Set{Timeout: 2 * time.Second, size: 32}),
	} {
		if !ok {
			t.Errorf("a dynamic set becomes a %s one, or does not", name)
		}
	}
}
