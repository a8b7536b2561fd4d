package nft

import (
	"slices"

	"github.com/google/nftables/expr"
)

// Forged counts packets from outside whose source is not outside.
var Forged = Counter{"forged"}

const (
	chainForged      = "forged"
	chainFromOutside = "from_outside"
)

// addForged keeps the outside from speaking to a VM as one of its neighbours, where it may speak unasked: to a VIP or a load
// balancer. A flow through the NAT gateway knows whom it has asked. The rules are ahead of all translation, in front of the
// check of what VMs send.
//
// Only here: edges do not know the addresses of VMs. What they know, the guard of their own namespace checks.
func (b *builder) addForged(t *Table) {
	f := t.Family
	if !b.hasVIPs(f) && !b.serves(f) {
		return
	}
	t.Counters = append(t.Counters, Forged)
	var rules []Rule
	for _, device := range b.entrances() {
		rules = append(rules, rule(f, inDevice(device), destination(f, setPublics), source(f, setInside), goTo(chainForged)))
	}
	at := slices.IndexFunc(t.Chains, func(c Chain) bool { return c.Name == chainSpoofing })
	t.Chains[at].Rules = append(rules, t.Chains[at].Rules...)
	t.Chains = append(t.Chains, Chain{Name: chainForged, Rules: []Rule{
		// Hosts of the tenant tell what went wrong on the way, by their overlay addresses.
		rule(f, all(icmpErrorOf(f), accept())...),
		rule(f, count(Forged), drop()),
	}})
}

// addFromOutside adds the checks of what has come by the uplink for a public address of a tenant. From that tenant's own public
// addresses come packets of its namespace alone, though they may turn here.
func (g guard) addFromOutside(t *Table) {
	f := g.family
	overlay := overlayPrefix(g.host.Tenants[0], f)
	t.Counters = append(t.Counters, Forged)
	rules := []Rule{
		rule(f, ownPublicSource(f, setTenants), count(Forged), drop()),
		// Routers on the way may have such addresses as the overlay's.
		rule(f, all(icmpErrorOf(f), accept())...),
		rule(f, sourceIn(overlay), count(Forged), drop()),
	}
	if f == IPv4Family {
		t.include(icmpErrors())
		// The kernel forwards it in IPv4, where a VM's gateway has such an address.
		rules = append(rules, rule(f, sourceIn(linkLocal), count(Forged), drop()))
	}
	t.Chains = append(t.Chains, Chain{Name: chainFromOutside, Rules: append(rules, rule(f, accept()))})
}

// oifname . ip saddr @SET / oifname . ip6 saddr @SET
func ownPublicSource(f Family, set string) statement {
	field := sourceField(f)
	return says("oifname . "+field.text+" @"+set,
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, field.load(afterDevice), in(set))
}
