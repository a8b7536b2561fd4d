package config

import (
	"fmt"
	"net/netip"
	"time"
)

// tenantChecker is a checker at work on one tenant.
type tenantChecker struct {
	*checker
	tenant     *Tenant
	index      int // of the tenant
	place      place
	interfaces map[string]int // index by name
	macs       map[MAC]int
	privates   map[netip.Addr]int // index of the interface
	balancers  map[string]int
	listeners  map[socket]place
}

// socket is where a listener listens.
type socket struct {
	addr     netip.Addr
	protocol Protocol
	port     uint16
}

// checkTenants checks each tenant and what must differ between them.
func (c *checker) checkTenants() {
	c.tenants = make(map[string]int, len(c.fleet.Tenants))
	c.vnis = make(map[VNI]int, len(c.fleet.Tenants))
	c.publics = map[netip.Addr]publicUse{}
	for i := range c.fleet.Tenants {
		t := tenantChecker{checker: c, tenant: &c.fleet.Tenants[i], index: i, place: top.entry("tenants", i)}
		t.checkIdentity()
		t.checkInterfaces()
		t.checkTimeouts()
		t.checkNATGateway()
		t.checkVirtualIPs()
		t.checkBalancers()
		t.checkExempt()
	}
	c.checkExemptPublics()
	c.checkExempted()
}

// checkIdentity checks the name and the VNI.
func (c *tenantChecker) checkIdentity() {
	name, vni := c.tenant.Name, c.tenant.VNI
	c.checkName(c.place.field("name"), name, maxTenantName)
	if first, taken := c.tenants[name]; taken && name != "" {
		c.problem(c.place.field("name"), "give every tenant its own name", "tenant is already declared (line %d)", c.line(top.entry("tenants", first).field("name")))
	} else {
		c.tenants[name] = c.index
	}
	if first, taken := c.vnis[vni]; taken && vni != 0 {
		c.problem(c.place.field("vni"), "give every tenant its own VNI", "VNI is already that of tenant %s (line %d)",
			c.fleet.Tenants[first].Name, c.line(top.entry("tenants", first).field("vni")))
	} else {
		c.vnis[vni] = c.index
	}
}

// checkInterfaces checks each interface and what must differ between them.
func (c *tenantChecker) checkInterfaces() {
	count := len(c.tenant.Interfaces)
	c.interfaces = make(map[string]int, count)
	c.macs = make(map[MAC]int, count)
	c.privates = make(map[netip.Addr]int, count)
	for i, nic := range c.tenant.Interfaces {
		p := c.place.entry("interfaces", i)
		c.checkName(p.field("name"), nic.Name, maxName)
		if first, taken := c.interfaces[nic.Name]; taken && nic.Name != "" {
			c.problem(p.field("name"), "give every interface of a tenant its own name", "interface is already declared (line %d)",
				c.line(c.place.entry("interfaces", first).field("name")))
		} else {
			c.interfaces[nic.Name] = i
		}
		c.checkHost(p.field("host"), nic.Host)
		c.checkDevice(p.field("device"), nic.Device)
		c.takeDevice(deviceUse{int32(c.index), int32(i)}, nic.Host, nic.Device)
		c.checkMAC(i, nic.MAC)
		for j, addr := range nic.Addresses {
			c.checkPrivate(i, j, addr)
		}
	}
}

// checkHost checks that an interface is on a hypervisor.
func (c *tenantChecker) checkHost(p place, name string) {
	if name == "" {
		return
	}
	i, ok := c.hosts[name]
	switch {
	case !ok && c.unread(top.field("hosts")):
	case !ok:
		c.problem(p, "declare the host or name one that is", "no host has this name")
	case len(c.fleet.Hosts[i].Roles) > 0 && !c.fleet.Hosts[i].Has(Hypervisor):
		c.problem(p, "move the interface or give the host the role hypervisor", "host is not a hypervisor (line %d)", c.line(top.entry("hosts", i)))
	}
}

// checkMAC checks that a MAC is a single station's, no other interface's of the tenant and none of the overlay's own.
func (c *tenantChecker) checkMAC(i int, mac MAC) {
	p := c.place.entry("interfaces", i).field("mac")
	const remedy = "give every interface of a tenant its own unicast MAC address"
	first, taken := c.macs[mac]
	switch {
	case mac == MAC{} && c.has(p):
		c.problem(p, remedy, "is the zero MAC address")
	case mac == MAC{}:
	case mac.IsMulticast():
		c.problem(p, remedy, "is a multicast MAC address")
	case mac.IsReserved():
		c.problem(p, "use another first three bytes", "MAC addresses 02:63:76:* and 06:63:76:* are reserved for the overlay")
	case taken:
		c.problem(p, remedy, "MAC address is already that of interface %s (line %d)",
			c.tenant.Interfaces[first].Name, c.line(c.place.entry("interfaces", first).field("mac")))
	default:
		c.macs[mac] = i
	}
}

// checkPrivate checks that a private address is no other interface's of the tenant and outside of the overlay.
func (c *tenantChecker) checkPrivate(i, j int, addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	p := c.place.entry("interfaces", i).entry("addresses", j)
	if prefix, inside := c.overlayOf(addr); inside {
		c.problem(p, "use another address, or set overlay to a prefix that no tenant uses", "private address is inside the overlay prefix %s", prefix)
	}
	if first, taken := c.privates[addr]; taken {
		c.problem(p, "give every interface of a tenant its own address", "address of interface %s is already used by interface %s of tenant %s (line %d)",
			c.tenant.Interfaces[i].Name, c.tenant.Interfaces[first].Name, c.tenant.Name, c.privateLine(first, addr))
		return
	}
	c.privates[addr] = i
}

// privateLine returns the line where an interface has the address.
func (c *tenantChecker) privateLine(i int, addr netip.Addr) int {
	for j, have := range c.tenant.Interfaces[i].Addresses {
		if have == addr {
			return c.line(c.place.entry("interfaces", i).entry("addresses", j))
		}
	}
	return c.line(c.place.entry("interfaces", i))
}

// overlayOf returns the overlay prefix that contains the address.
func (c *checker) overlayOf(addr netip.Addr) (netip.Prefix, bool) {
	for _, prefix := range c.overlays {
		if prefix.Contains(addr) {
			return prefix, true
		}
	}
	return netip.Prefix{}, false
}

// interfaceNamed returns the interface that something refers to by name; if there is none it reports that.
func (c *tenantChecker) interfaceNamed(p place, name string) (Interface, bool) {
	if name == "" {
		return Interface{}, false
	}
	i, ok := c.interfaces[name]
	if !ok && c.unread(c.place.field("interfaces")) {
		return Interface{}, false
	}
	if !ok {
		c.problem(p, "declare the interface or name one that is", "tenant %s has no interface of this name", c.tenant.Name)
		return Interface{}, false
	}
	return c.tenant.Interfaces[i], true
}

// hasFamily reports whether the interface has an address of the family, or one that could not be read.
func (i Interface) hasFamily(is4 bool) bool {
	for _, addr := range i.Addresses {
		if !addr.IsValid() || addr.Is4() == is4 {
			return true
		}
	}
	return len(i.Addresses) == 0
}

// checkTimeouts checks what the ranges of the timeouts cannot say: the kernel counts them in seconds.
func (c *tenantChecker) checkTimeouts() {
	t := c.tenant.Timeouts
	for key, d := range map[string]time.Duration{
		"tcpEstablished": t.TCPEstablished, "tcpTransitory": t.TCPTransitory, "udp": t.UDP, "udpStream": t.UDPStream, "icmp": t.ICMP,
	} {
		if d%time.Second != 0 {
			c.problem(c.place.field("timeouts").field(key), fmt.Sprintf("write %s", d.Round(time.Second)), "is not a whole number of seconds")
		}
	}
}
