package nft

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/topology"
)

// limited is hv1 of a tenant that may have four conntrack entries.
func limited() topology.Tenant {
	t := hypervisor()
	t.MaxEntries = 4
	return t
}

// TestMaximum fills the table: the fifth flow is dropped, further ones are refused, those that are there go on, and new ones
// pass soon after the old ones have gone.
func TestMaximum(t *testing.T) {
	l := newLot(t, limited())
	for i := range uint16(4) {
		l.leaves(request(40000 + i))
	}
	l.expect(l.tap, nil, counts{"inet/conntrack_full": 1}, request(40004))
	told := 0
	for tries := 0; told == 0 && tries < 20; tries++ { // one a second only comes to look
		out, counted := l.pass(l.tap, request(40005))
		if counted["inet/conntrack_full"] != 1 {
			t.Errorf("counted %v", counted)
		}
		told += len(out)
	}
	if told == 0 {
		t.Error("the VM is not told")
	}
	for i := range uint16(4) {
		l.leaves(request(40000 + i))
	}
	if n := l.entries(); n != 4 {
		t.Errorf("conntrack has %d entries, want 4", n)
	}
	must(t, l.ns.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }))
	start := time.Now()
	for l.entries() == 0 {
		if time.Since(start) > 30*time.Second {
			t.Fatal("nothing leaves although there is room again")
		}
		l.pass(l.tap, request(40006))
	}
	for i := range uint16(3) {
		l.leaves(request(40010 + i))
	}
}

func TestSampleSize(t *testing.T) {
	for entries, want := range map[int]sampling{
		1: {1, 1}, 512: {1, 512}, 513: {2, 256}, 2000: {4, 500}, 100_000: {256, 390}, 262_144: {512, 512}, 1<<31 - 1: {1 << 22, 511},
	} {
		if got := sample(entries); got != want {
			t.Errorf("%d entries: %+v, want %+v", entries, got, want)
		}
	}
}
