package nft

import (
	"net/netip"
	"slices"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// The counters of the host's own namespace.
var (
	Outsider = Counter{"outsider"}
	ToHost   = Counter{"to_host"}
	StrayOut = Counter{"stray_out"}
	StrayIn  = Counter{"stray_in"}
)

const (
	chainGuard        = "guard"
	chainGuardForward = "guard_forward"
	chainGuardInput   = "guard_input"

	setUnderlays   = "underlays"    // the underlay addresses of the fleet's other hosts
	setTenantPorts = "tenant_ports" // the host's ends of the links to tenants' namespaces
	setTenants     = "tenants"      // the same with the public addresses of the tenant
)

// Guard computes the tables of the host's own namespace. VXLAN is for the fleet's other hosts alone, and what tenants send is
// for the outside and for other tenants alone. A host without tenants has none.
//
// A frame of a tenant is known by its sender, [topology.UplinkTenantMAC], not by its device: a host that is no longer an edge
// has forgotten the device's name before the device is gone.
func Guard(h topology.Host) []Table {
	if len(h.Tenants) == 0 {
		return nil
	}
	var tables []Table
	for _, f := range []Family{IPv4Family, IPv6Family} {
		g := guard{host: h, family: f}
		tables = append(tables, g.table())
	}
	return tables
}

// guard writes the table of one family.
type guard struct {
	host   topology.Host
	family Family
}

// underlay reports whether the family is that of the underlay.
func (g guard) underlay() bool { return g.host.Underlay.Is4() == (g.family == IPv4Family) }

func (g guard) table() Table {
	t := Table{
		Family: g.family, Counters: []Counter{ToHost, StrayOut, StrayIn}, Sets: []Set{g.tenantPorts(), g.tenants()},
		Chains: []Chain{g.forward(), g.input()},
	}
	if e := g.exempted(); g.family == IPv4Family && len(e.Elements) > 0 {
		t.Sets = append(t.Sets, e)
	}
	if g.host.Uplink != "" {
		g.addFromOutside(&t)
	}
	if g.underlay() {
		t.Counters = append(t.Counters, Outsider)
		t.Sets = append(t.Sets, set(setUnderlays, g.family.address(), values(g.host.Underlays)...))
		t.Chains = append(t.Chains, g.vxlan())
	}
	return t
}

// vxlan drops VXLAN from outside the fleet. Its socket listens on every address of the host, in the underlay's family, and hears
// what is for several hosts, too.
func (g guard) vxlan() Chain {
	f := g.family
	c := Chain{
		Name: chainGuard, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityRaw},
		// On an edge, the same port passes by in the traffic of VMs: what is for another host is none of our business.
		Rules: []Rule{rule(f, all(udpTo(g.host.Port), sourceNot(f, setUnderlays), notForAnother(), count(Outsider), drop())...)},
	}
	if g.host.Uplink != "" {
		// Anybody outside can write the address of a host of the fleet into a packet. The fleet's own come in by the uplink only
		// where the route to their sender leaves by it; of several hops of IPv6 the kernel asks one (nft_fib_ipv6.c).
		c.Rules = append(c.Rules, rule(f, all(udpTo(g.host.Port), inDevice(g.host.Uplink), notForAnother(), sourceNotBehind(), count(Outsider), drop())...))
	}
	return c
}

// forward lets tenants and the outside talk to each other, by the uplink, and tenants among themselves. Each tenant has its
// public addresses here as well: whatever happens to the rules of its namespace, nothing else leaves.
func (g guard) forward() Chain {
	f := g.family
	c := Chain{Name: chainGuardForward, Base: &Base{Type: "filter", Hook: Forward, Priority: priorityFilter}}
	if g.underlay() {
		// The uplink may be the underlay's device too.
		c.Rules = append(c.Rules, rule(f, fromTenant(), destination(f, setUnderlays), count(StrayOut), drop()))
	}
	if g.host.Uplink != "" {
		c.Rules = append(c.Rules,
			// Two lookups in and one out for nearly every packet.
			rule(f, inDevice(g.host.Uplink), tenantsDestination(f, setTenants), goTo(chainFromOutside)),
			rule(f, outDevice(g.host.Uplink), tenantsSource(f, setTenants), accept()),
			rule(f, tenantsSource(f, setTenants), tenantsDestination(f, setTenants), accept()))
		c.Rules = append(c.Rules, g.guardExempt()...)
	}
	c.Rules = append(c.Rules,
		rule(f, fromTenant(), count(StrayOut), drop()),
		rule(f, outDeviceIn(setTenantPorts), count(StrayIn), drop()))
	return c
}

// input drops what tenants send to the host itself. What the host has to say to them, as ICMP errors, needs no answer.
func (g guard) input() Chain {
	return Chain{
		Name: chainGuardInput, Base: &Base{Type: "filter", Hook: Input, Priority: priorityFilter},
		Rules: []Rule{rule(g.family, fromTenant(), count(ToHost), drop())},
	}
}

func (g guard) tenantPorts() Set {
	s := set(setTenantPorts, Type{Device})
	for _, t := range g.host.Tenants {
		if t.Edge {
			s.Elements[string(Value{}.device(t.UplinkPort()))] = ""
		}
	}
	return s
}

func (g guard) tenants() Set {
	s := set(setTenants, slices.Concat(Type{Device}, g.family.address()))
	for _, t := range g.host.Tenants {
		if !t.Edge {
			continue
		}
		for _, a := range t.Publics(g.family == IPv4Family) {
			s.Elements[string(Value{}.device(t.UplinkPort()).addr(a))] = ""
		}
	}
	return s
}

func values(addresses []netip.Addr) []Value {
	out := make([]Value, len(addresses))
	for i, a := range addresses {
		out[i] = Value{}.addr(a)
	}
	return out
}

// udp dport PORT
func udpTo(port uint16) statement {
	s := carries(unix.IPPROTO_UDP)
	s.text = "udp dport " + Type{Port}.format(string(Value{}.port(port)))
	s.expressions = append(s.expressions, says("", transport(2, 2, reg1), equal(binaryutil.BigEndian.PutUint16(port)...)).expressions...)
	return s
}

// fib daddr type != unicast: local, broadcast, multicast and anycast addresses, all of which sockets of this host can hear.
func notForAnother() statement {
	return says("fib daddr type != unicast",
		&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_UNICAST)})
}

// fib saddr . iif oif missing: the route to the source leaves by other devices alone.
func sourceNotBehind() statement {
	return says("fib saddr . iif oif missing",
		&expr.Fib{Register: reg1, ResultOIF: true, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true}, equal(0, 0, 0, 0))
}

// ether saddr MAC, of a device that has Ethernet headers.
func fromTenant() statement {
	mac := topology.UplinkTenantMAC
	s := isEthernet()
	s.text = "ether saddr " + mac.String()
	s.expressions = append(s.expressions, says("", load(expr.PayloadBaseLLHeader, 6, 6, reg1), equal(mac[:]...)).expressions...)
	return s
}

// iifname . ip saddr @SET / iifname . ip6 saddr @SET
func tenantsSource(f Family, set string) statement {
	field := sourceField(f)
	return says("iifname . "+field.text+" @"+set,
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, field.load(afterDevice), in(set))
}

// oifname . ip daddr @SET / oifname . ip6 daddr @SET
func tenantsDestination(f Family, set string) statement {
	field := destinationField(f)
	return says("oifname . "+field.text+" @"+set,
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, field.load(afterDevice), in(set))
}

// oifname @SET
func outDeviceIn(set string) statement {
	return says("oifname @"+set, &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, in(set))
}
