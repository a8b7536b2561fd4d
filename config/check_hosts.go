package config

import (
	"fmt"
	"net/netip"
)

// checkOverlay checks the prefixes that overlay addresses come from. Only good ones are kept for other checks: an
// address inside a prefix that must change anyway is no problem yet.
func (c *checker) checkOverlay() {
	overlay := c.fleet.Overlay
	if c.checkOverlayPrefix("ipv4", overlay.IPv4, true, 8, 20) {
		c.overlays = append(c.overlays, overlay.IPv4)
	}
	if c.checkOverlayPrefix("ipv6", overlay.IPv6, false, 32, 96) {
		c.overlays = append(c.overlays, overlay.IPv6)
	}
}

// checkOverlayPrefix checks the family and the length of a prefix: shortest leaves the operator something outside of
// it, longest leaves room for hosts and backends.
func (c *checker) checkOverlayPrefix(key string, prefix netip.Prefix, is4 bool, shortest, longest int) bool {
	p := top.field("overlay").field(key)
	switch f := unsuitable(prefix.Addr()); {
	case c.unread(p):
	case prefix.Addr().Is4() != is4 && is4:
		c.problem(p, "write an IPv4 prefix", "is an IPv6 prefix")
	case prefix.Addr().Is4() != is4:
		c.problem(p, "write an IPv6 prefix", "is an IPv4 prefix")
	case prefix.Bits() < shortest || prefix.Bits() > longest:
		c.problem(p, fmt.Sprintf("use a length of /%d to /%d", shortest, longest), "overlay prefix has length /%d", prefix.Bits())
	case f != nil:
		c.problem(p, f.remedy, "first address %s", f.message)
	default:
		return true
	}
	return false
}

// checkHosts checks each host and what must differ between them.
func (c *checker) checkHosts() {
	c.hosts = make(map[string]int, len(c.fleet.Hosts))
	c.underlays = make(map[netip.Addr]int, len(c.fleet.Hosts))
	c.devices = map[device]deviceUse{}
	for i, host := range c.fleet.Hosts {
		p := top.entry("hosts", i)
		c.checkName(p.field("name"), host.Name, maxName)
		if first, taken := c.hosts[host.Name]; taken && host.Name != "" {
			c.problem(p.field("name"), "give every host its own name", "host is already declared (line %d)", c.line(top.entry("hosts", first).field("name")))
		} else {
			c.hosts[host.Name] = i
		}
		c.checkUnderlay(i, host.Underlay)
		c.checkRoles(p, host)
		c.checkDevice(p.field("uplink"), host.Uplink)
		c.takeDevice(deviceUse{noTenant, int32(i)}, host.Name, host.Uplink)
	}
}

// checkUnderlay checks that underlay addresses differ and are of one family.
func (c *checker) checkUnderlay(i int, underlay netip.Addr) {
	if !underlay.IsValid() {
		return
	}
	p := top.entry("hosts", i).field("underlay")
	if first, taken := c.underlays[underlay]; taken {
		c.problem(p, "give every host its own underlay address", "underlay address is already that of host %s (line %d)",
			c.fleet.Hosts[first].Name, c.line(top.entry("hosts", first).field("underlay")))
		return
	}
	c.underlays[underlay] = i
	for first := range i {
		if other := c.fleet.Hosts[first]; other.Underlay.IsValid() {
			if other.Underlay.Is4() != underlay.Is4() {
				c.problem(p, "use one address family for the whole underlay", "underlay address is %s, that of host %s is %s (line %d)",
					family(underlay), other.Name, family(other.Underlay), c.line(top.entry("hosts", first).field("underlay")))
			}
			return
		}
	}
}

// checkRoles checks the roles of a host and what depends on them.
func (c *checker) checkRoles(p place, host Host) {
	seen := map[Role]int{}
	for i, role := range host.Roles {
		if first, taken := seen[role]; taken && role != "" {
			c.problem(p.entry("roles", i), "remove one of the two", "role is already given (line %d)", c.line(p.entry("roles", first)))
		}
		seen[role] = i
	}
	switch _, unknown := seen[""]; {
	case host.Uplink != "" && !host.Has(Edge) && !unknown && len(host.Roles) > 0:
		c.problem(p.field("uplink"), "remove uplink or add the role edge", "host %s is not an edge", host.Name)
	case host.Has(Edge) && !c.has(p.field("uplink")):
		c.problem(p, "add uplink, the device that faces the outside world", "edge has no uplink")
	}
}

// family names the family of an address.
func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
