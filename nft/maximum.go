package nft

import (
	"fmt"
	"time"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ConntrackFull counts packets of new flows that the tenant's maximum of conntrack entries refused.
var ConntrackFull = Counter{"conntrack_full"}

// setFull has one element while the tenant has as many flows as it may have.
const setFull = "full"

const (
	chainRefuse   = "refuse"
	chainLeaving  = "leaving"
	chainArriving = "arriving"
	chainNewEntry = "new_entry"
	chainSample   = "sample"
)

const (
	priorityRefuse = -150
	priorityCount  = prioritySourceNAT - 10
)

// fullFor is how long the tenant counts as full if no flow comes by which to see that it is not.
const fullFor = 10 * time.Second

// sampleRoom is how many flows are counted at most: the kernel walks the list of them. The error of a sample of n flows is
// about one in the square root of n.
const sampleRoom = 512

// sampling says that one flow in shares is counted, up to max of them.
type sampling struct{ shares, max int }

func sample(entries int) sampling {
	s := sampling{1, entries}
	for s.max > sampleRoom {
		s.shares *= 2
		s.max = entries / s.shares
	}
	return s
}

// maximum bounds the entries of the tenant in this namespace's connection tracking, of both families together. Chains of the
// type nat see the first packet of each flow alone.
//
// To count all flows would make each new one dearer with each that lives. So a random sample is counted, when nothing else can
// drop the packet any more; when it is full, all new flows are refused, but one a second, which is let through to the count.
func (b *builder) maximum() Table {
	const f = InetFamily
	s := sample(b.t.MaxEntries)
	onceASecond := limitOver(1)
	nat := func(name string, hook Hook, priority int32, rules ...Rule) Chain {
		return Chain{Name: name, Base: &Base{Type: "nat", Hook: hook, Priority: priority}, Rules: rules}
	}
	return Table{
		Family: f, Counters: []Counter{ConntrackFull},
		Sets: []Set{{Name: setFull, Key: Type{Direction}, Timeout: fullFor}},
		Chains: []Chain{
			nat(chainRefuse, Prerouting, priorityRefuse, append(b.ours(f),
				// No answer is possible from the other hooks.
				rule(f, isFull(), onceASecond, count(ConntrackFull), rejectProhibitedX()))...),
			nat(chainLeaving, Postrouting, priorityCount, rule(f, goTo(chainNewEntry))),
			nat(chainArriving, Input, priorityFilter, rule(f, goTo(chainNewEntry))),
			{Name: chainNewEntry, Rules: append([]Rule{
				rule(f, isFull(), onceASecond, count(ConntrackFull), drop()),
				rule(f, isFull(), goTo(chainSample)),
			}, s.rules(goTo(chainSample), "==", expr.CmpOpEq)...)},
			{Name: chainSample, Rules: append([]Rule{
				rule(f, countOver(s.max), dynset("update", unix.NFT_DYNSET_OP_UPDATE), count(ConntrackFull), drop()),
				rule(f, dynset("delete", dynsetDelete)),
				// This one only came to look.
			}, s.rules(all(count(ConntrackFull), drop()), "!=", expr.CmpOpNeq)...)},
		},
	}
}

// rules apply statements to the flows that are, or are not, in the sample. If all are, there is nothing to tell apart.
func (s sampling) rules(then any, op string, cmp expr.CmpOp) []Rule {
	const f = InetFamily
	if s.shares > 1 {
		return []Rule{rule(f, all(inSample(s.shares, op, cmp), then)...)}
	}
	if cmp == expr.CmpOpEq {
		return []Rule{rule(f, all(then)...)}
	}
	return nil
}

// ct id & MASK == 0: the kernel makes the id out of a random number of its own (nf_ct_get_id, nf_conntrack_core.c), so nobody
// can choose flows that are not in the sample.
func inSample(shares int, op string, cmp expr.CmpOp) statement {
	return says(fmt.Sprintf("ct id & %d %s 0", shares-1, op), &expr.Ct{Key: expr.CtKeyID, Register: reg1},
		mask(reg1, binaryutil.BigEndian.PutUint32(uint32(shares-1))...),
		&expr.Cmp{Op: cmp, Register: reg1, Data: make([]byte, 4)})
}

// ct direction @full: new flows have one direction, so the set has one element or none.
func isFull() statement {
	return says("ct direction @"+setFull, &expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg1}, in(setFull))
}

// update @full { ct direction } / delete @full { ct direction }
func dynset(verb string, operation uint32) statement {
	return says(fmt.Sprintf("%s @%s { ct direction }", verb, setFull), &expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg1},
		&expr.Dynset{SrcRegKey: reg1, SetName: setFull, Operation: operation})
}

// ct count over N
func countOver(n int) statement {
	return says(fmt.Sprintf("ct count over %d", n), &expr.Connlimit{Count: uint32(n), Flags: expr.NFT_CONNLIMIT_F_INV})
}

// limit rate over N/second burst N packets
func limitOver(n int) statement {
	return says(fmt.Sprintf("limit rate over %d/second burst %d packets", n, n),
		&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(n), Unit: expr.LimitTimeSecond, Burst: uint32(n), Over: true})
}

// reject with icmpx admin-prohibited: ICMP 3/13 or ICMPv6 1/1.
func rejectProhibitedX() statement {
	const icmpxProhibited = 3 // NFT_REJECT_ICMPX_ADMIN_PROHIBITED
	return says("reject with icmpx admin-prohibited", &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: icmpxProhibited})
}
