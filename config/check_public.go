package config

import "net/netip"

// publicUse is the first use of a public address in the fleet.
type publicUse struct {
	tenant *Tenant
	kind   publicKind
	place  place
}

// publicKind is what a public address is used for.
type publicKind string

// The uses. An address of the NAT gateway may also be one of balancers, as listeners take ports that are in no block.
const (
	natAddress      publicKind = "NAT address"
	virtualIP       publicKind = "virtual IP address"
	balancerAddress publicKind = "address of a load balancer"
)

// checkNATGateway checks the tenant's NAT gateway. How many claimants fit is for the allocation to say.
func (c *tenantChecker) checkNATGateway() {
	gateway := c.tenant.NATGateway
	if gateway == nil {
		return
	}
	p := c.place.field("natGateway")
	for i, addr := range gateway.Addresses {
		if addr.Is6() {
			c.problem(p.entry("addresses", i), "use an IPv4 address; IPv6 needs no NAT gateway", "NAT address is an IPv6 address")
		}
		c.takePublic(p.entry("addresses", i), addr, natAddress)
	}
	perHost, perInterface := c.has(p.field("portsPerHost")), c.has(p.field("portsPerInterface"))
	switch {
	case perHost && perInterface:
		c.problem(p.field("portsPerInterface"), "remove one of the two", "portsPerHost is set, too (line %d)", c.line(p.field("portsPerHost")))
	case !perHost && !perInterface:
		c.problem(p, "add one of them, for example portsPerHost: 1024", "neither portsPerHost nor portsPerInterface is set")
	}
}

// checkVirtualIPs checks the tenant's virtual IP addresses.
func (c *tenantChecker) checkVirtualIPs() {
	for i, vip := range c.tenant.VirtualIPs {
		p := c.place.entry("virtualIPs", i)
		nic, found := c.interfaceNamed(p.field("interface"), vip.Interface)
		seen := map[bool]int{}
		for j, addr := range vip.Addresses {
			if !addr.IsValid() {
				continue
			}
			if first, twice := seen[addr.Is4()]; twice {
				c.problem(p.entry("addresses", j), "write one entry for each address", "entry has another %s address (line %d)",
					family(addr), c.line(p.entry("addresses", first)))
			}
			seen[addr.Is4()] = j
			if found && !nic.hasFamily(addr.Is4()) {
				c.problem(p.entry("addresses", j), "give the interface one", "interface %s has no private %s address", nic.Name, family(addr))
			}
			c.takePublic(p.entry("addresses", j), addr, virtualIP)
		}
	}
}

// takePublic reports a public address that cannot have this use, and remembers the first use of each.
func (c *tenantChecker) takePublic(p place, addr netip.Addr, kind publicKind) {
	if !addr.IsValid() {
		return
	}
	if i, taken := c.underlays[addr]; taken {
		c.problem(p, "use another public address", "%s is the underlay address of host %s (line %d)",
			kind, c.fleet.Hosts[i].Name, c.line(top.entry("hosts", i).field("underlay")))
	}
	if prefix, inside := c.overlayOf(addr); inside {
		c.problem(p, "use another address, or set overlay to a prefix that is not public", "%s is inside the overlay prefix %s", kind, prefix)
	}
	if i, taken := c.privates[addr]; taken {
		c.problem(p, "use another public address", "%s is a private address of interface %s (line %d)",
			kind, c.tenant.Interfaces[i].Name, c.privateLine(i, addr))
	}
	first, taken := c.publics[addr]
	switch {
	case !taken:
		c.publics[addr] = publicUse{tenant: c.tenant, kind: kind, place: p}
	case first.tenant != c.tenant:
		c.problem(p, "give every tenant its own public addresses", "%s belongs to tenant %s (line %d)", kind, first.tenant.Name, c.line(first.place))
	case kind != balancerAddress || first.kind == virtualIP:
		c.problem(p, "use another address for one of the two", "%s is already a %s (line %d)", kind, first.kind, c.line(first.place))
	}
}
