package nft

import (
	"fmt"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// setNeighbourRate has the devices of VMs that have sent from link-local addresses a moment ago.
const setNeighbourRate = "neighbour_rate"

// A VM may have any link-local address, and the kernel remembers each that solicits or asks in a table that all namespaces of the
// machine share: 1024 entries (gc_thresh3 of net.ipv6.neigh), of which it gives up those older than 5 s when there is no room
// (neigh_forced_gc, net/core/neighbour.c). So a VM holds no more than its burst and what it sends in 5 s, 26. An honest one
// says a packet a second while it looks for its gateway (RFC 4861 section 10), joins some groups when it starts, and is quiet then.
const (
	neighbourRate  = 2 // packets a second
	neighbourBurst = 16
)

// neighbourTime is how long a device that says nothing is remembered: longer than its burst takes to come back.
const neighbourTime = 30 * time.Second

// neighbourRoom is how many devices are remembered at least; with no room a packet would pass uncounted.
const neighbourRoom = 1024

// neighbourSenders makes the set. Its keys are names of devices that the rule has found to be VMs', so VMs cannot fill it.
func (b *builder) neighbourSenders() Set {
	return Set{Name: setNeighbourRate, Key: Type{Device}, Timeout: neighbourTime, size: max(neighbourRoom, 4*len(b.t.Interfaces))}
}

// update @neighbour_rate { iifname limit rate over N/second burst M packets }: matches what a device sends beyond that.
func tooManyNeighbours() statement {
	tokens := &expr.Limit{Type: expr.LimitTypePkts, Rate: neighbourRate, Unit: expr.LimitTimeSecond, Burst: neighbourBurst, Over: true}
	return says(fmt.Sprintf("update @%s { iifname limit rate over %d/second burst %d packets }", setNeighbourRate, neighbourRate, neighbourBurst),
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		&expr.Dynset{SrcRegKey: reg1, SetName: setNeighbourRate, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{tokens}})
}
