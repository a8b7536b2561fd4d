package nft

import (
	"github.com/culvertnet/culvert/topology"
)

// edgeIPv4 lets the tenant's public addresses through, and nothing else.
func (b *builder) edgeIPv4() Table {
	const f = IPv4Family
	return Table{
		Family: f, Counters: []Counter{ForeignSource, NotForwardable, OwnTraffic}, Sets: []Set{b.publics()},
		Chains: []Chain{
			{
				Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter, Drop: true},
				Rules: []Rule{
					rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), source(setPublics), accept()),
					rule(f, inDevice(b.vx), outDevice(topology.UplinkDevice), count(ForeignSource), drop()),
					rule(f, inDevice(topology.UplinkDevice), outDevice(b.vx), destination(setPublics), accept()),
					rule(f, count(NotForwardable), drop()),
				},
			},
			b.ownTraffic(),
		},
	}
}

// ownTraffic keeps what this namespace itself would say to the outside (its addresses are overlay addresses) inside.
func (b *builder) ownTraffic() Chain {
	const f = IPv4Family
	return Chain{
		Name: chainOutput, Base: &Base{Type: "filter", Hook: Output, Priority: priorityFilter},
		Rules: []Rule{rule(f, outDevice(topology.UplinkDevice), count(OwnTraffic), drop())},
	}
}

// edgeIPv6 forwards nothing: no tenant has public IPv6 addresses behind a NAT gateway.
func (b *builder) edgeIPv6() Table {
	return Table{
		Family: IPv6Family, Counters: []Counter{NotForwardable},
		Chains: []Chain{{
			Name: chainForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter, Drop: true},
			Rules: []Rule{rule(IPv6Family, count(NotForwardable), drop())},
		}},
	}
}
