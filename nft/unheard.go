package nft

import (
	"net/netip"

	"github.com/culvertnet/culvert/topology"
)

// Unheard counts ICMP errors that the namespace does not listen to.
var Unheard = Counter{"unheard"}

const chainErrors = "errors"

// addErrors adds what decides whom the namespace believes. The kernel takes an ICMP error for its own word about a destination
// if it quotes an echo reply, and ICMPv6 whatever it quotes (icmp_err, icmpv6_err): "packet too big" from any VM would make
// the path to that destination narrow for all VMs of the tenant on this host, for ten minutes.
//
// Errors about probes of backends are related to a flow of the namespace. State "invalid" would not do: what a VM with a VIP sends
// to an address that is not inside is untracked.
func (b *builder) addErrors(t *Table) {
	f := t.Family
	c := Chain{Name: chainErrors, Base: &Base{Type: "filter", Hook: Input, Priority: priorityFilter}}
	if b.balances(f) {
		// About what IPVS has sent on.
		c.Rules = append(c.Rules, rule(f, all(icmpErrorOf(f), destination(f, setListening), accept())...))
	}
	if b.tracks(f) {
		c.Rules = append(c.Rules, rule(f, all(icmpErrorOf(f), ctState("related", stateRelated), accept())...))
	}
	c.Rules = append(c.Rules, rule(f, all(icmpErrorOf(f), count(Unheard), drop())...))
	if f == IPv4Family {
		t.include(icmpErrors())
	}
	t.Counters = append(t.Counters, Unheard)
	t.Chains = append(t.Chains, c)
}

// tracks reports whether the table has rules about connections. Without, it asks for none: that would start conntrack.
func (b *builder) tracks(f Family) bool { return len(b.t.Publics(f == IPv4Family)) > 0 }

// include adds a set that may be there already.
func (t *Table) include(s Set) {
	if t.set(s.Name) == nil {
		t.Sets = append(t.Sets, s)
	}
}

// overlayPrefix is where the hosts' overlay addresses of the family are from.
func overlayPrefix(t topology.Tenant, f Family) netip.Prefix {
	if f == IPv6Family {
		return t.Overlay.IPv6.Masked()
	}
	return t.Overlay.IPv4.Masked()
}
