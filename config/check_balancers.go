package config

import (
	"fmt"
	"slices"
	"strings"
)

// checkBalancers checks the tenant's load balancers.
func (c *tenantChecker) checkBalancers() {
	c.balancers = map[string]int{}
	c.listeners = map[socket]place{}
	for i, balancer := range c.tenant.LoadBalancers {
		p := c.place.entry("loadBalancers", i)
		c.checkName(p.field("name"), balancer.Name, maxName)
		if first, taken := c.balancers[balancer.Name]; taken && balancer.Name != "" {
			c.problem(p.field("name"), "give every load balancer of a tenant its own name", "load balancer is already declared (line %d)",
				c.line(c.place.entry("loadBalancers", first).field("name")))
		} else {
			c.balancers[balancer.Name] = i
		}
		c.takePublic(p.field("address"), balancer.Address, balancerAddress)
		c.checkListeners(p, balancer)
		c.checkBackends(p, balancer)
		if balancer.HealthCheck != nil {
			c.checkHealth(p.field("healthCheck"), *balancer.HealthCheck)
		}
	}
}

// checkListeners checks that no two listeners of the tenant want the same port of an address.
func (c *tenantChecker) checkListeners(p place, balancer Balancer) {
	for i, listener := range balancer.Listeners {
		if !balancer.Address.IsValid() || listener.Protocol == "" || listener.Port == 0 {
			continue
		}
		here := p.entry("listeners", i).field("port")
		key := socket{balancer.Address, listener.Protocol, listener.Port}
		if first, taken := c.listeners[key]; taken {
			c.problem(here, "use another port or another address", "%s port of %s already has a listener (line %d)",
				listener.Protocol, balancer.Address, c.line(first))
			continue
		}
		c.listeners[key] = here
	}
}

// checkBackends checks that backends are different interfaces that the balancer can reach.
func (c *tenantChecker) checkBackends(p place, balancer Balancer) {
	seen := map[string]int{}
	for i, backend := range balancer.Backends {
		here := p.entry("backends", i).field("interface")
		nic, found := c.interfaceNamed(here, backend.Interface)
		if !found {
			continue
		}
		if first, taken := seen[nic.Name]; taken {
			c.problem(here, "remove one of the two; weight gives a backend a larger share", "interface is already a backend of %s (line %d)",
				balancer.Name, c.line(p.entry("backends", first).field("interface")))
			continue
		}
		seen[nic.Name] = i
		if balancer.Address.IsValid() && !nic.hasFamily(balancer.Address.Is4()) {
			c.problem(here, "give the interface one", "interface has no private %s address", family(balancer.Address))
		}
	}
}

// maxPayload is the longest payload of a health check in bytes: what a datagram carries anywhere without fragments.
const maxPayload = 1024

// checkHealth checks what the fields of a health check say together.
func (c *tenantChecker) checkHealth(p place, h HealthCheck) {
	if h.Timeout > h.Interval && !c.unread(p.field("interval")) {
		c.problem(p.field("timeout"), "use a shorter timeout or a longer interval", "timeout is longer than the interval of %s", h.Interval)
	}
	for key, payload := range map[string]string{"send": h.Send, "expect": h.Expect} {
		if len(payload) > maxPayload {
			c.problem(p.field(key), fmt.Sprintf("use at most %d", maxPayload), "payload has %d bytes", len(payload))
		}
	}
	if h.Path != "" && (h.Path[0] != '/' || strings.ContainsFunc(h.Path, notInPath)) {
		c.problem(p.field("path"), "write it as in a request: begin with / and encode other characters with %", "is not a path")
	}
	if h.Protocol == "" {
		return
	}
	for key, fits := range map[string]bool{
		"port":     h.Protocol != CheckICMP,
		"path":     h.Protocol.hasPath(),
		"statuses": h.Protocol.hasPath(),
		"send":     h.Protocol.hasPayload(),
		"expect":   h.Protocol.hasPayload(),
	} {
		if !fits && c.has(p.field(key)) {
			c.problem(p.field(key), fmt.Sprintf("remove %s or use another protocol", key), "a health check with %s has no %s", h.Protocol, key)
		}
	}
	for i, status := range h.Statuses {
		if first := slices.Index(h.Statuses, status); first < i && status != 0 && h.Protocol.hasPath() {
			c.problem(p.entry("statuses", i), "remove one of the two", "status is already in the list")
		}
	}
	if h.Protocol == CheckUDP && !c.has(p.field("send")) {
		c.problem(p, "add send, a payload that a healthy backend answers", "health check with udp has no payload to send")
	}
}

// notInPath reports whether a character cannot be part of a request's target (RFC 3986 section 3.3 and 3.4).
func notInPath(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}#", r)
}
