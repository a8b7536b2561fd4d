package config

import (
	"testing"
)

// TestHostsProblems breaks the overlay and the hosts in every way that is known.
func TestHostsProblems(t *testing.T) {
	run(t, []problemTest{
		{
			name:  "name with a capital",
			edits: []string{"name: hv1", "name: Hv1", "host: hv1, device: tap-a", "host: Hv1, device: tap-a", "host: hv1, device: tap-b", "host: Hv1, device: tap-b"},
			want:  `2:12: "Hv1": is not a valid name; use lower-case letters, digits and inner hyphens`,
		},
		{
			name:  "name too long",
			edits: []string{"name: lb1", "name: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
			want:  `3:12: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": name has 64 characters; use at most 63`,
		},
		{
			name:  "name with outer hyphen",
			edits: []string{"name: lb1", "name: lb1-"},
			want:  `3:12: "lb1-": is not a valid name; use lower-case letters, digits and inner hyphens`,
		},
		{
			name:  "duplicate name",
			edits: []string{"name: lb1", "name: hv1"},
			want:  `3:12: "hv1": host is already declared (line 2); give every host its own name`,
		},
		{
			name:  "duplicate underlay",
			edits: []string{"192.0.2.9", "192.0.2.1"},
			want:  `3:27: "192.0.2.1": underlay address is already that of host hv1 (line 2); give every host its own underlay address`,
		},
		{
			name:  "mixed underlay families",
			edits: []string{"192.0.2.9", "2001:db8::9"},
			want:  `3:27: "2001:db8::9": underlay address is IPv6, that of host hv1 is IPv4 (line 2); use one address family for the whole underlay`,
		},
		{
			name:  "underlay unspecified",
			edits: []string{"192.0.2.9", "0.0.0.0"},
			want:  `3:27: "0.0.0.0": is the unspecified address; use a unicast address that can be routed`,
		},
		{
			name:  "underlay multicast",
			edits: []string{"192.0.2.9", "ff02::9"},
			want:  `3:27: "ff02::9": is a multicast address; use a unicast address that can be routed`,
		},
		{
			name:  "underlay loopback",
			edits: []string{"192.0.2.9", "127.0.0.9"},
			want:  `3:27: "127.0.0.9": is a loopback address; use a unicast address that can be routed`,
		},
		{
			name:  "underlay link-local",
			edits: []string{"192.0.2.9", "169.254.0.9"},
			want:  `3:27: "169.254.0.9": is a link-local address; use a unicast address that can be routed`,
		},
		{
			name:  "underlay broadcast",
			edits: []string{"192.0.2.9", "255.255.255.255"},
			want:  `3:27: "255.255.255.255": is the broadcast address; use a unicast address that can be routed`,
		},
		{
			name:  "underlay with zone",
			edits: []string{"192.0.2.9", `"fe80::9%eth0"`},
			want:  `3:27: "fe80::9%eth0": has a zone; write it without %eth0; link-local addresses cannot be used`,
		},
		{
			name:  "underlay IPv4-mapped",
			edits: []string{"192.0.2.9", `"::ffff:192.0.2.9"`},
			want:  `3:27: "::ffff:192.0.2.9": is an IPv4-mapped IPv6 address; write 192.0.2.9`,
		},
		{
			name:  "underlay is a prefix",
			edits: []string{"192.0.2.9", "192.0.2.9/24"},
			want:  `3:27: "192.0.2.9/24": is a prefix, not an address; write 192.0.2.9`,
		},
		{
			name:  "underlay is a name",
			edits: []string{"192.0.2.9", "lb1.example.net"},
			want:  `3:27: "lb1.example.net": is not an IP address; write an IPv4 address like 192.0.2.1 or an IPv6 address like 2001:db8::1`,
		},
		{
			name:  "role unknown",
			edits: []string{"[loadbalancer]", "[balancer]"},
			want:  `3:46: "balancer": unknown value; use one of hypervisor, loadbalancer, edge`,
		},
		{
			name:  "role twice",
			edits: []string{"[loadbalancer]", "[loadbalancer, loadbalancer]"},
			want:  `3:60: "loadbalancer": role is already given (line 3); remove one of the two`,
		},
		{
			name:  "no roles",
			edits: []string{"[loadbalancer]", "[]"},
			want:  `3:45: "[]}": roles has no entries; add at least one`,
		},
		{
			name:  "edge without uplink",
			edits: []string{"[loadbalancer]", "[loadbalancer, edge]"},
			want:  `3:5: "{name: lb1, underlay: 192.0.2.9, roles: [loadbalancer, edge]}": edge has no uplink; add uplink, the device that faces the outside world`,
		},
		{
			name:  "uplink without edge",
			edits: []string{"[loadbalancer]", "[loadbalancer], uplink: eth1"},
			want:  `3:69: "eth1": host lb1 is not an edge; remove uplink or add the role edge`,
		},
		{
			name:  "uplink too long",
			edits: []string{"[loadbalancer]", "[edge], uplink: sixteen-bytes-xx"},
			want:  `3:61: "sixteen-bytes-xx": device name has 16 bytes; use 1-15 bytes without spaces, slashes and colons`,
		},
		{
			name:  "uplink with slash",
			edits: []string{"[loadbalancer]", "[edge], uplink: eth/1"},
			want:  `3:61: "eth/1": is not a valid device name; use 1-15 bytes without spaces, slashes and colons`,
		},
		{
			name:  "uplink is also a tap",
			edits: []string{"[hypervisor]", "[hypervisor, edge], uplink: tap-b"},
			want:  `9:41: "tap-b": device of host hv1 is already in use (line 2); give every interface of a host its own device`,
		},
		{
			name:  "state unknown",
			edits: []string{"[loadbalancer]", "[loadbalancer], state: off"},
			want:  `3:68: "off": unknown value; use one of up, down`,
		},
		{
			name: "overlay families swapped",
			edits: []string{"tenants:", `overlay: {ipv4: "fd00::/64", ipv6: 100.64.0.0/10}
tenants:`},
			want: `4:17: "fd00::/64": is an IPv6 prefix; write an IPv4 prefix
4:36: "100.64.0.0/10": is an IPv4 prefix; write an IPv6 prefix`,
		},
		{
			name: "overlay lengths",
			edits: []string{"tenants:", `overlay: {ipv4: 100.64.0.0/24, ipv6: "fd00::/16"}
tenants:`},
			want: `4:17: "100.64.0.0/24": overlay prefix has length /24; use a length of /8 to /20
4:38: "fd00::/16": overlay prefix has length /16; use a length of /32 to /96`,
		},
		{
			name: "overlay with host bits",
			edits: []string{"tenants:", `overlay: {ipv4: 100.65.0.0/10, ipv6: "fd00::1/64"}
tenants:`},
			want: `4:17: "100.65.0.0/10": has bits set behind its length; write 100.64.0.0/10
4:38: "fd00::1/64": has bits set behind its length; write fd00::/64`,
		},
		{
			name: "overlay multicast",
			edits: []string{"tenants:", `overlay: {ipv4: 224.0.0.0/8, ipv6: "ff00::/64"}
tenants:`},
			want: `4:17: "224.0.0.0/8": first address is a multicast address; use a unicast address that can be routed
4:36: "ff00::/64": first address is a multicast address; use a unicast address that can be routed`,
		},
		{
			name: "overlay without length",
			edits: []string{"tenants:", `overlay: {ipv4: 100.64.0.0, ipv6: "::ffff:100.64.0.0/96"}
tenants:`},
			want: `4:17: "100.64.0.0": has no prefix length; write 100.64.0.0/32
4:35: "::ffff:100.64.0.0/96": is an IPv4-mapped IPv6 prefix; write it as an IPv4 prefix`,
		},
		{
			name: "overlay port",
			edits: []string{"tenants:", `overlay: {port: 0}
tenants:`},
			want: `4:17: "0": is out of range; use a number in 1-65535`,
		},
	})
}
