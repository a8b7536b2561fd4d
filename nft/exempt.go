package nft

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/culvertnet/culvert/topology"
)

// setExempted has the private addresses of other hosts' VMs that use the NAT gateway.
const setExempted = "exempted"

// exempt are the destinations that sources of the NAT gateway reach without translation.
func (b *builder) exempt(f Family) []netip.Prefix {
	if !b.nats(f) {
		return nil
	}
	return b.t.NAT.Exempt
}

// addExempted adds what an edge needs to let other hosts' untranslated packets through.
func (b *builder) addExempted(t *Table) {
	if !b.t.Edge || len(b.exempt(t.Family)) == 0 {
		return
	}
	s := set(setExempted, Type{IPv4})
	for _, e := range b.t.NAT.Exempted {
		s.Elements[key(e.Address)] = ""
	}
	t.Sets = append(t.Sets, s)
	t.include(icmpErrors())
}

// toExempt accepts packets of a set of sources for exempt destinations; what comes first is put in front.
func (b *builder) toExempt(f Family, sources string, first ...statement) []Rule {
	var rules []Rule
	for _, p := range b.exempt(f) {
		rules = append(rules, rule(f, all(first, source(f, sources), destinationIn(p), accept())...))
	}
	return rules
}

// passExempt lets an edge forward what is exempt, in both directions. It keeps no state: that nothing but answers gets to a VM is
// for the VM's host to see to. Errors come from any router on the way.
func (b *builder) passExempt(f Family) []Rule {
	exempt := b.exempt(f)
	if !b.t.Edge || len(exempt) == 0 {
		return nil
	}
	rules := b.toExempt(f, setExempted, inDevice(b.vx), outDevice(topology.UplinkDevice))
	in := all(inDevice(topology.UplinkDevice), outDevice(b.vx), destination(f, setExempted))
	for _, p := range exempt {
		rules = append(rules, rule(f, all(in, sourceIn(p), accept())...))
	}
	return append(rules, rule(f, all(in, icmpErrorOf(f), accept())...))
}

// exemptAnswers lets in by a device answers to what a VM of this host has begun without translation, and errors about it.
func (b *builder) exemptAnswers(f Family, device string) []Rule {
	var rules []Rule
	for _, p := range b.exempt(f) {
		rules = append(rules, rule(f, inDevice(device), sourceIn(p), ctState("established", stateEstablished), accept()))
	}
	if len(rules) > 0 {
		rules = append(rules, rule(f, inDevice(device), ctState("related", stateRelated), accept()))
	}
	return rules
}

// exemptErrors lets out this host's errors about answers of exempt flows, which may not fit the link of a VM. They come from the
// VM's address, for the overlay's means nothing there.
func (b *builder) exemptErrors(f Family) []Rule {
	var rules []Rule
	for _, p := range b.exempt(f) {
		rules = append(rules, rule(f, all(destinationIn(p), ctState("related", stateRelated), icmpErrorOf(f), quotedDestination(f, setSources), setSourceAsQuoted(f), accept())...))
	}
	return rules
}

// leavesExempt lets what is exempt leave with its private source, where nothing else may.
func (b *builder) leavesExempt(f Family) []Rule {
	if len(b.exempt(f)) == 0 {
		return nil
	}
	rules := b.toExempt(f, setSources)
	if b.t.Edge {
		rules = append(rules, b.toExempt(f, setExempted)...)
	}
	return rules
}

// transitExempt keeps other hosts' untranslated flows, which pass an edge, out of this host's conntrack.
func (b *builder) transitExempt(f Family) []Rule {
	if len(b.exempt(f)) == 0 {
		return nil
	}
	return []Rule{
		rule(f, inDevice(b.vx), source(f, setExempted), destinationNot(f, setInside), notrack()),
		rule(f, inDevice(topology.UplinkDevice), destination(f, setExempted), notrack()),
	}
}

// guardExempt lets untranslated packets of tenants pass the edge's own namespace, by the uplink alone.
func (g guard) guardExempt() []Rule {
	f := g.family
	var rules []Rule
	for _, t := range g.host.Tenants {
		if !t.Edge || t.NAT == nil || f != IPv4Family {
			continue
		}
		for _, p := range t.NAT.Exempt {
			rules = append(rules, rule(f, tenantsSource(f, setExempted), inDevice(t.UplinkPort()), destinationIn(p), outDevice(g.host.Uplink), accept()))
		}
	}
	if len(rules) > 0 {
		rules = append(rules, rule(f, inDevice(g.host.Uplink), tenantsDestination(f, setExempted), accept()))
	}
	return rules
}

// exempted are the private addresses that tenants' packets may have in the edge's own namespace.
func (g guard) exempted() Set {
	s := set(setExempted, Type{Device, IPv4})
	for _, t := range g.host.Tenants {
		if t.Edge && t.NAT != nil {
			for _, a := range t.NAT.Untranslated() {
				s.Elements[string(Value{}.device(t.UplinkPort()).addr(a))] = ""
			}
		}
	}
	return s
}

// ip saddr PREFIX / ip6 saddr PREFIX
func sourceIn(p netip.Prefix) statement { return within(sourceField(familyOf(p)), p) }

// ip daddr PREFIX / ip6 daddr PREFIX
func destinationIn(p netip.Prefix) statement { return within(destinationField(familyOf(p)), p) }

func familyOf(p netip.Prefix) Family {
	if p.Addr().Is4() {
		return IPv4Family
	}
	return IPv6Family
}

// FIELD PREFIX, or FIELD ADDRESS for a single one
func within(field payload, p netip.Prefix) statement {
	text := fmt.Sprintf("%s %s", field.text, p)
	if p.IsSingleIP() {
		text = fmt.Sprintf("%s %s", field.text, p.Addr())
	}
	if p.Bits()%8 == 0 {
		return says(text, network(field.offset, uint32(p.Bits()/8), reg1), equal(p.Addr().AsSlice()[:p.Bits()/8]...))
	}
	return says(text, field.load(reg1), mask(reg1, net.CIDRMask(p.Bits(), p.Addr().BitLen())...), equal(p.Addr().AsSlice()...))
}
