package nft

import (
	"slices"

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

// setUnanswered holds the TCP listeners that an edge has no way to.
const setUnanswered = "unanswered"

// addUnanswered resets TCP for listeners that nobody serves, which would be silence otherwise: there is no route to their addresses. A
// datagram's sender is not told, an ICMP error would have an overlay address for its source.
func (b *builder) addUnanswered(t *Table) {
	f := t.Family
	if b.t.Balancer || len(b.t.Balanced(f == IPv4Family)) == 0 {
		return
	}
	t.Counters = append(t.Counters, Closed)
	t.Sets = append(t.Sets, b.listeners(f, setUnanswered, func(lb topology.Balancer, l config.Listener) bool {
		return l.Protocol == config.TCP && !lb.Shared && (len(b.t.Nodes()) == 0 || !b.t.Answered(lb.Address))
	}))
	forward, output := t.chain(chainForward), t.chain(chainOutput)
	last := len(forward.Rules) - 1
	forward.Rules = slices.Insert(forward.Rules, last, rule(f, inDevice(topology.UplinkDevice), toSocket(f, setUnanswered), count(Closed), resetConnection()))
	output.Rules = slices.Insert(output.Rules, 0, rule(f, fromSocket(f, setUnanswered), accept()))
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
