package nft

import (
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
	b.addExempted(&t)
	return t
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
