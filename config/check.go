package config

import (
	"fmt"
	"net/netip"
	"regexp"

	"go.yaml.in/yaml/v4"
)

// checker finds what is wrong with a fleet that the decoder could not see, as it takes more than one value to tell.
// Values that are missing or could not be decoded are zero in the fleet and were reported already: checks pass over
// them.
type checker struct {
	*document
	fleet *Fleet

	overlays  []netip.Prefix // those of the overlay that are good
	hosts     map[string]int // index by name
	underlays map[netip.Addr]int
	tenants   map[string]int
	vnis      map[VNI]int
	devices   map[device]deviceUse
	publics   map[netip.Addr]publicUse
}

// device is a network device of a host.
type device struct{ host, name string }

// deviceUse says which interface of which tenant a device belongs to, or, with noTenant, of which host it is the uplink.
// There is one for each interface of the fleet, so it is small.
type deviceUse struct{ tenant, index int32 }

const noTenant = -1

// place returns where the device is named.
func (u deviceUse) place() place {
	if u.tenant == noTenant {
		return top.entry("hosts", int(u.index)).field("uplink")
	}
	return top.entry("tenants", int(u.tenant)).entry("interfaces", int(u.index)).field("device")
}

// check reports all problems.
func (c *checker) check() {
	c.checkOverlay()
	c.checkHosts()
	c.checkTenants()
}

// place is the way to a value in the document, which mirrors the fleet. Positions are looked up when a problem is
// reported, so a document without problems pays next to nothing for them.
type place struct {
	steps [maxDepth]step
	depth int
}

// step leads to a field, or to an entry of the list in a field.
type step struct {
	key   string
	index int // wholeField for the field itself
}

const (
	wholeField = -1
	maxDepth   = 4 // tenants[i].loadBalancers[j].listeners[k].port
)

// top is the place of the whole document.
var top place

// field returns the place of a field of the mapping at p.
func (p place) field(key string) place { return p.entry(key, wholeField) }

// entry returns the place of an entry of the list in a field of the mapping at p.
func (p place) entry(key string, index int) place {
	p.steps[p.depth] = step{key, index}
	p.depth++
	return p
}

// find returns the node at the place, and whether it is in the document. If not, the node is the innermost one that is.
func (c *checker) find(p place) (*yaml.Node, bool) {
	n := c.root
	for _, s := range p.steps[:p.depth] {
		value := valueOf(n, s.key)
		if value == nil {
			return n, false
		}
		n = value
		if s.index == wholeField {
			continue
		}
		if n.Kind != yaml.SequenceNode || s.index >= len(n.Content) {
			return n, false
		}
		n = n.Content[s.index]
	}
	return n, true
}

// valueOf returns the value of a mapping's field, or nil. Of a field that is set twice it is the first, as that is the
// one that was decoded.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// problem reports what is wrong at the place, unless the value there was refused before.
func (c *checker) problem(p place, remedy, format string, args ...any) {
	if !c.unread(p) {
		n, _ := c.find(p)
		c.report(n, fmt.Sprintf(format, args...), remedy)
	}
}

// has reports whether the document says something at the place, right or wrong.
func (c *checker) has(p place) bool {
	_, ok := c.find(p)
	return ok
}

// unread reports whether the value at the place was refused, so that nothing is known about it.
func (c *checker) unread(p place) bool {
	n, _ := c.find(p)
	return c.refused[n]
}

// line returns the line of the place.
func (c *checker) line(p place) int {
	n, _ := c.find(p)
	return n.Line
}

// namePattern is what names look like: a DNS label (RFC 1123 section 2.1) in lower case.
const namePattern = `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`

var nameRegexp = regexp.MustCompile(namePattern)

// The longest names: that of a DNS label, and what a namespace's file can be called with something in front.
const (
	maxName       = 63
	maxTenantName = 40
)

// checkName reports a name that is not a DNS label of at most longest characters.
func (c *checker) checkName(p place, name string, longest int) {
	switch {
	case name == "":
	case len(name) > longest:
		c.problem(p, fmt.Sprintf("use at most %d", longest), "name has %d characters", len(name))
	case !nameRegexp.MatchString(name):
		c.problem(p, "use lower-case letters, digits and inner hyphens", "is not a valid name")
	}
}

// maxDevice is the longest name of a network device: IFNAMSIZ in linux/if.h without the final zero.
const maxDevice = 15

// devicePattern says in a schema what dev_valid_name in net/core/dev.c accepts.
const devicePattern = `^[^\s/:\x00-\x1f\x7f]{1,15}$`

// checkDevice reports a name that the kernel refuses for a device.
func (c *checker) checkDevice(p place, name string) {
	const remedy = "use 1-15 bytes without spaces, slashes and colons"
	switch {
	case name == "":
	case len(name) > maxDevice:
		c.problem(p, remedy, "device name has %d bytes", len(name))
	case name == "." || name == ".." || !deviceRegexp.MatchString(name):
		c.problem(p, remedy, "is not a valid device name")
	}
}

var deviceRegexp = regexp.MustCompile(devicePattern)

// takeDevice reports a device of a host that has another use, and remembers this one.
func (c *checker) takeDevice(use deviceUse, host, name string) {
	if host == "" || name == "" {
		return
	}
	key := device{host, name}
	if first, taken := c.devices[key]; taken {
		c.problem(use.place(), "give every interface of a host its own device", "device of host %s is already in use (line %d)",
			host, c.line(first.place()))
		return
	}
	c.devices[key] = use
}
