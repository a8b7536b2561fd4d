package nft

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// edge lets the tenant's public addresses of a family through, and nothing else.
func (b *builder) edge(f Family) Table {
	t := Table{
		Family: f, Counters: []Counter{ForeignSource, NotForwardable, OwnTraffic}, Sets: []Set{b.publics(f)},
		Chains: []Chain{
			{
				Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter, Drop: true},
				Rules: append(b.passExempt(f),
					rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), source(f, setPublics), accept()),
					rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), count(ForeignSource), drop()),
					rule(f, inDevice(topology.UplinkDevice), outDevice(b.vx), destination(f, setPublics), accept()),
					// One of the tenant's VMs talks to a public address of the tenant itself.
					rule(f, inDevice(b.vx), outDevice(b.vx), source(f, setPublics), destination(f, setPublics), accept()),
					rule(f, count(NotForwardable), drop()),
				),
			},
			b.ownTraffic(f),
		},
	}
	b.addUnanswered(&t)
	b.addExempted(&t)
	return t
}

// setUnanswered holds the listeners that an edge has no way to.
const setUnanswered = "unanswered"

// addUnanswered says that nobody serves a listener: there is no route to its address, and silence would be all that clients get. The
// kernel sends errors from an overlay address, as this namespace has no others; clients get them from the address that they asked.
func (b *builder) addUnanswered(t *Table) {
	f := t.Family
	if b.t.Balancer || len(b.t.Balanced(f == IPv4Family)) == 0 {
		return
	}
	t.Counters = append(t.Counters, Closed)
	t.Sets = append(t.Sets, b.listeners(f, setUnanswered, func(lb topology.Balancer, _ config.Listener) bool {
		return !lb.Shared && (len(b.t.Nodes()) == 0 || !b.t.Answered(lb.Address))
	}))
	forward, output := t.chain(chainForward), t.chain(chainOutput)
	last := len(forward.Rules) - 1
	forward.Rules = slices.Insert(forward.Rules, last,
		rule(f, inDevice(topology.UplinkDevice), toSocket(f, setUnanswered), carriesTCP(), count(Closed), resetConnection()),
		rule(f, inDevice(topology.UplinkDevice), toSocket(f, setUnanswered), count(Closed), rejectPortUnreachable(f)))
	output.Rules = slices.Insert(output.Rules, 0,
		rule(f, fromSocket(f, setUnanswered), accept()),
		rule(f, all(outDevice(topology.UplinkDevice), unreachable(f), quotedSocket(f, setUnanswered), setSourceAsQuoted(f), accept())...))
}

// icmp type destination-unreachable @th,64,8 0x45 / icmpv6 type destination-unreachable: about a packet whose header has no options.
func unreachable(f Family) []statement {
	if f == IPv6Family {
		return all(carries(unix.IPPROTO_ICMPV6), says("icmpv6 type destination-unreachable", transport(0, 1, reg1), equal(1)))
	}
	return all(carries(unix.IPPROTO_ICMP), says("icmp type destination-unreachable", transport(0, 1, reg1), equal(3)), raw(8, 0x45))
}

// ownTraffic keeps what this namespace itself would say to the outside (its addresses are overlay addresses) inside.
func (b *builder) ownTraffic(f Family) Chain {
	return Chain{
		Name: chainOutput, Base: &Base{Type: "filter", Hook: Output, Priority: priorityFilter},
		Rules: append(b.nodeOutput(f), rule(f, outDevice(topology.UplinkDevice), count(OwnTraffic), drop())),
	}
}

// shut forwards nothing: the tenant has no public addresses of the family.
func (b *builder) shut(f Family) Table {
	return Table{
		Family: f, Counters: []Counter{NotForwardable},
		Chains: []Chain{{
			Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter, Drop: true},
			Rules: []Rule{rule(f, count(NotForwardable), drop())},
		}},
	}
}
