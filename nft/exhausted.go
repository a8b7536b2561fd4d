package nft

import (
	"fmt"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Exhausted counts packets of new flows that have found no free port before.
var Exhausted = Counter{"exhausted"}

// setTried holds flows that left a moment ago and have no entry in conntrack yet, as the VM sees them.
const setTried = "tried"

const (
	// triedFor is how long a flow is remembered: longer than Linux takes to try TCP seven times (at 0, 1, 2, 3, 4, 6 and 10 s), shorter than
	// any entry without an answer lives (the shortest timeout of [config.Timeouts] that such an entry can have is 2 m).
	triedFor = 20 * time.Second
	// triedRoom is how many are remembered; each takes 16 bytes from the start. A flow beyond is not told.
	triedRoom = 1 << 13
)

// How many packets of a flow may look for a port before the VM is told. Two flows that look at the same time may find the same
// port, and one of them is dropped. And of blocks of more than searchedWhole ports the kernel tries 248 for each packet: the
// next one may have more luck (nf_nat_core.c, nf_nat_l4proto_unique_tuple).
const (
	searchedWhole = 128
	triesOfSmall  = 3
	triesOfLarge  = 6
)

// tries are how many packets of this host's flows may look.
func (b *builder) tries() uint32 {
	for _, src := range b.t.NAT.Sources {
		for _, block := range src.Blocks {
			if int(block.Last)-int(block.First) >= searchedWhole {
				return triesOfLarge
			}
		}
	}
	return triesOfSmall
}

// exhaustion tells VMs when their ports are used up.
//
// Where no port is free, source NAT leaves the new flow with a port that another flow to the same destination has, and the
// kernel drops the packet when it would enter the flow into its table, without a sign. So every new flow that leaves is
// remembered until it is seen to have an entry; one that comes again and again and has none has found no port.
func (b *builder) exhaustion(t *Table) {
	t.Counters = append(t.Counters, Exhausted)
	t.Sets = append(t.Sets, Set{Name: setTried, Key: Type{IPv4, Port, IPv4, Port, Protocol}, Timeout: triedFor, size: triedRoom})
}

// flowKey is the key of a flow: five fields that are loaded into the registers from 1 on.
func flowKey(source, sourcePort, destination, port expr.Any, use expr.Any) []expr.Any {
	return []expr.Any{source, sourcePort, destination, port, network(9, 1, reg1Field5), use}
}

// reg1Field5 is the fifth field of a key that begins in register 1.
const reg1Field5 = unix.NFT_REG32_00 + 4

// add @tried { ip saddr . th sport . ip daddr . th dport . ip protocol limit rate over 1/hour burst N packets }: matches
// what a flow sends beyond N packets.
func triedInVain(n uint32) statement {
	const over = true
	tokens := &expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: expr.LimitTimeHour, Burst: n, Over: over}
	return says(fmt.Sprintf("add @%s { ip saddr . th sport . ip daddr . th dport . ip protocol limit rate over 1/hour burst %d packets }", setTried, n),
		flowKey(network(12, 4, reg1), transport(0, 2, reg1Field2), network(16, 4, reg1Field3), transport(2, 2, reg1Field4),
			&expr.Dynset{SrcRegKey: reg1, SetName: setTried, Operation: unix.NFT_DYNSET_OP_ADD, Exprs: []expr.Any{tokens}})...)
}

// delete @tried { ct original ip saddr . ct original proto-src . ct original ip daddr . ct original proto-dst . ip protocol }
func forgetTried() statement {
	original := func(key expr.CtKey, register uint32) expr.Any {
		return &expr.Ct{Key: key, Register: register, OptDirection: true, Direction: 0}
	}
	return says("delete @"+setTried+" { ct original ip saddr . ct original proto-src . ct original ip daddr . ct original proto-dst . ip protocol }",
		flowKey(original(expr.CtKeySRCIP, reg1), original(expr.CtKeyPROTOSRC, reg1Field2),
			original(expr.CtKeyDSTIP, reg1Field3), original(expr.CtKeyPROTODST, reg1Field4),
			&expr.Dynset{SrcRegKey: reg1, SetName: setTried, Operation: dynsetDelete})...)
}

// dynsetDelete is NFT_DYNSET_OP_DELETE (linux/netfilter/nf_tables.h).
const dynsetDelete = 2
