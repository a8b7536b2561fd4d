package ipvs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/config"
)

// TestFlood forges first packets until memory is short, or so the kernel is told. The connection table shrinks again long before
// the forged entries' time is over, and flows that live stay where they are.
func TestFlood(t *testing.T) {
	const forged = 2_000
	r := newRig(t)
	r.apply(web(1, 2, 3))
	flows := clients(0, 40)
	before := r.choices(flows, tcpSYN)
	for range 9 { // flows of fewer packets are not spared when they idle
		r.choices(flows, tcpACK)
	}
	// A flow that lost its entry would not find back to a backend that drains.
	drained := web(1, 2, 3)
	drained.Services[0].Destinations[1].Weight = 0
	r.apply(drained)
	for i := range uint32(forged) {
		var client [4]byte
		binary.BigEndian.PutUint32(client[:], 30<<24+i)
		r.send(flow{config.TCP, netip.AddrPortFrom(netip.AddrFrom4(client), 40000), flows[0].service}, tcpSYN)
	}
	if n := r.halfOpen(); n < forged*9/10 {
		t.Fatalf("%d of %d forged flows are in the table", n, forged)
	}
	// More pages than any machine has.
	c := must(dial(r.ns))
	defer c.close()
	if err := c.do(change(Setting{"amemthresh", "2147483647"}, "")[0]); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() (wrong []string) {
		if n := r.halfOpen(); n > forged*3/4 {
			wrong = append(wrong, fmt.Sprintf("%d of %d forged flows are still in the table", n, forged))
		}
		return wrong
	})
	// While entries go, a reader may miss others; what it sees is right.
	missing := make(map[flow]netip.AddrPort)
	for i, f := range flows {
		missing[f] = before[i]
	}
	r.eventually(func() (wrong []string) {
		r.choices(flows, tcpACK)
		bound, _ := r.connections()
		for f, want := range missing {
			switch bound[f] {
			case want:
				delete(missing, f)
			case netip.AddrPort{}:
				wrong = append(wrong, fmt.Sprintf("flow from %s is nowhere", f.client))
			default:
				t.Fatalf("flow from %s was at %s and is at %s", f.client, want, bound[f])
			}
		}
		return wrong
	})
}

// halfOpen counts connections that had a first packet only.
func (r *rig) halfOpen() int {
	r.Helper()
	n := 0
	for _, words := range r.table() {
		if words[7] == "SYN_RECV" {
			n++
		}
	}
	return n
}
