package config

import (
	"maps"
	"net/netip"
	"slices"
)

// unroutable are the destinations that routers must not forward, by what they are called.
var unroutable = []struct {
	name   string
	prefix netip.Prefix
}{
	{"addresses of this network", netip.MustParsePrefix("0.0.0.0/8")}, // RFC 1122 section 3.2.1.3
	{"loopback addresses", netip.MustParsePrefix("127.0.0.0/8")},      // RFC 1122 section 3.2.1.3
	{"link-local addresses", netip.MustParsePrefix("169.254.0.0/16")}, // RFC 3927 section 7
	{"multicast addresses", netip.MustParsePrefix("224.0.0.0/4")},     // the overlay carries unicast only
	{"reserved addresses", netip.MustParsePrefix("240.0.0.0/4")},      // RFC 1112 section 4
}

// checkExempt checks the prefixes that the NAT gateway leaves alone. They may have private addresses of the tenant in them: what
// is inside stays inside.
func (c *tenantChecker) checkExempt() {
	if c.tenant.NATGateway == nil {
		return
	}
	for i, prefix := range c.tenant.NATGateway.Exempt {
		if !prefix.IsValid() {
			continue
		}
		p := c.place.field("natGateway").entry("exempt", i)
		if prefix.Addr().Is6() {
			c.problem(p, "remove it; the NAT gateway translates IPv4 only", "exempt prefix is an IPv6 prefix")
			continue
		}
		for _, u := range unroutable {
			if prefix.Overlaps(u.prefix) {
				c.problem(p, "name smaller prefixes", "exempt prefix overlaps %s %s", u.name, u.prefix)
			}
		}
		for j, other := range c.tenant.NATGateway.Exempt[:i] {
			if other.IsValid() && prefix.Overlaps(other) {
				c.problem(p, "remove the one that is inside the other", "exempt prefix overlaps %s (line %d)", other, c.line(c.place.field("natGateway").entry("exempt", j)))
				break
			}
		}
		for _, overlay := range c.overlays {
			if prefix.Overlaps(overlay) {
				c.problem(p, "name smaller prefixes, or set overlay to a prefix that nobody uses", "exempt prefix overlaps the overlay prefix %s", overlay)
			}
		}
	}
}

// checkExemptPublics reports exempt prefixes with public addresses of the fleet in them, whichever tenant's: what VMs send there
// without translation would never be answered.
func (c *checker) checkExemptPublics() {
	sorted := slices.SortedFunc(maps.Keys(c.publics), netip.Addr.Compare)
	for i := range c.fleet.Tenants {
		t := &c.fleet.Tenants[i]
		if t.NATGateway == nil {
			continue
		}
		for j, prefix := range t.NATGateway.Exempt {
			first, _ := slices.BinarySearchFunc(sorted, prefix.Masked().Addr(), netip.Addr.Compare)
			if !prefix.IsValid() || first == len(sorted) || !prefix.Contains(sorted[first]) {
				continue
			}
			use, whose := c.publics[sorted[first]], "the tenant"
			if use.tenant != t {
				whose = "tenant " + use.tenant.Name
			}
			c.problem(top.entry("tenants", i).field("natGateway").entry("exempt", j), "name smaller prefixes; VMs reach public addresses of the fleet by translation alone",
				"exempt prefix contains the %s %s of %s (line %d)", use.kind, sorted[first], whose, c.line(use.place))
		}
	}
}

// exemptedUse is the tenant and the place of a private address that edges route.
type exemptedUse struct {
	tenant *Tenant
	place  place
}

// checkExempted checks the private addresses of tenants that have exempt prefixes. The edges' own namespace routes them, for
// the answers, so each must mean one tenant there, and nothing else.
func (c *checker) checkExempted() {
	routed := make(map[netip.Addr]exemptedUse)
	for i := range c.fleet.Tenants {
		t := &c.fleet.Tenants[i]
		if t.NATGateway == nil || len(t.NATGateway.Exempt) == 0 {
			continue
		}
		for j, nic := range t.Interfaces {
			for k, addr := range nic.Addresses {
				if addr.Is4() {
					c.routePrivate(routed, addr, exemptedUse{t, top.entry("tenants", i).entry("interfaces", j).entry("addresses", k)})
				}
			}
		}
	}
}

// routePrivate reports a private address that edges cannot route to its tenant, and remembers the first use of each.
func (c *checker) routePrivate(routed map[netip.Addr]exemptedUse, addr netip.Addr, use exemptedUse) {
	const remedy = "use another address, or remove natGateway.exempt of the tenant: edges route the private addresses of tenants that have it"
	if i, taken := c.underlays[addr]; taken {
		c.problem(use.place, remedy, "private address is the underlay address of host %s (line %d)", c.fleet.Hosts[i].Name, c.line(top.entry("hosts", i).field("underlay")))
	}
	if public, taken := c.publics[addr]; taken && public.tenant != use.tenant {
		c.problem(use.place, remedy, "private address is a public one of tenant %s (line %d)", public.tenant.Name, c.line(public.place))
	}
	first, taken := routed[addr]
	switch {
	case !taken:
		routed[addr] = use
	case first.tenant != use.tenant:
		c.problem(use.place, "use another address, or remove natGateway.exempt of one of the two tenants: edges could not tell whose answers are whose",
			"private address is also one of tenant %s (line %d), and both have natGateway.exempt", first.tenant.Name, c.line(first.place))
	}
}
