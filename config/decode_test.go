package config

import "testing"

// TestDocumentProblems breaks the syntax, the fields and the types of a document.
func TestDocumentProblems(t *testing.T) {
	run(t, []problemTest{
		{
			name: "unknown field",
			edits: []string{"vni: 100", `vni: 100
    colour: red`},
			want: `7:5: "colour": unknown field; use one of name, vni, interfaces, natGateway, virtualIPs, loadBalancers, conntrack, timeouts`,
		},
		{
			name: "unknown field at the top",
			more: `host: []
`,
			want: `10:1: "host": unknown field; use one of overlay, hosts, tenants`,
		},
		{
			name: "duplicate field",
			edits: []string{"vni: 100", `vni: 100
    vni: 200`},
			want: `7:5: "vni": field is already set (line 6); remove one of the two`,
		},
		{
			name:  "missing fields",
			edits: []string{"  - {name: lb1, underlay: 192.0.2.9, roles: [loadbalancer]}", "  - {name: lb1}"},
			want: `3:5: "{name: lb1}": field underlay is missing; add underlay
3:5: "{name: lb1}": field roles is missing; add roles`,
		},
		{
			name:  "field without value",
			edits: []string{"vni: 100", "vni:"},
			want:  `6:5: "vni": field has no value; give it a value or remove it`,
		},
		{
			name: "list without value",
			more: `    virtualIPs:
`,
			want: `10:5: "virtualIPs": field has no value; give it a value or remove it`,
		},
		{
			name:  "entry without value",
			edits: []string{"[loadbalancer]", "[loadbalancer, ]"},
		},
		{
			name:  "entry is null",
			edits: []string{"[loadbalancer]", "[loadbalancer, null]"},
			want:  `3:60: "null": entry has no value; give it a value or remove it`,
		},
		{
			name:  "mapping for a list",
			edits: []string{"[loadbalancer]", "{loadbalancer: true}"},
			want:  `3:45: "{loadbalancer: true}}": is a mapping, not a list; write a list: one entry a line, each after a dash`,
		},
		{
			name:  "text for a list",
			edits: []string{"[loadbalancer]", "loadbalancer"},
			want:  `3:45: "loadbalancer": is a text, not a list; write [loadbalancer]`,
		},
		{
			name: "list for a mapping",
			more: `    natGateway: [45.86.152.23]
`,
			want: `10:17: "[45.86.152.23]": is a list, not a mapping; write its fields: addresses, portsPerHost, portsPerInterface, exempt`,
		},
		{
			name: "text for a mapping",
			more: `    conntrack: many
`,
			want: `10:16: "many": is a text, not a mapping; write its fields: max`,
		},
		{
			name:  "number for a text",
			edits: []string{"name: lb1", "name: 12"},
			want:  `3:12: "12": is a number, not a text; write "12" in quotes if it is meant as a text`,
		},
		{
			name:  "truth value for a text",
			edits: []string{"name: lb1", "name: true"},
			want:  `3:12: "true": is a truth value, not a text; write "true" in quotes if it is meant as a text`,
		},
		{
			name:  "list for a text",
			edits: []string{"name: lb1", "name: [lb1]"},
			want:  `3:12: "[lb1], underlay: 192.0.2.9, roles: [loadbalancer]}": is a list, not a text; write a text`,
		},
		{
			name:  "date is a text",
			edits: []string{"name: lb1", "name: 2026-01-02"},
		},
		{
			name:  "quoted number",
			edits: []string{"vni: 100", `vni: "100"`},
			want:  `6:10: "100": is a text, not a number; write a number without quotes`,
		},
		{
			name:  "text for a number",
			edits: []string{"vni: 100", "vni: hundred"},
			want:  `6:10: "hundred": is a text, not a number; write a number`,
		},
		{
			name:  "mapping for a number",
			edits: []string{"vni: 100", "vni: {is: 100}"},
			want:  `6:10: "{is: 100}": is a mapping, not a number; write a number`,
		},
		{
			name:  "number with a fraction",
			edits: []string{"vni: 100", "vni: 100.5"},
			want:  `6:10: "100.5": is not a whole number; write it with decimal digits only`,
		},
		{
			name:  "number in hexadecimal",
			edits: []string{"vni: 100", "vni: 0x64"},
			want:  `6:10: "0x64": is not a whole number; write it with decimal digits only`,
		},
		{
			name:  "number with leading zero",
			edits: []string{"vni: 100", "vni: 0100"},
			want:  `6:10: "0100": begins with 0; write a decimal number without leading zeros`,
		},
		{
			name:  "number beyond 64 bits",
			edits: []string{"vni: 100", "vni: 99999999999999999999"},
			want:  `6:10: "99999999999999999999": is out of range; use a number in 1-16777215`,
		},
		{
			name:  "list for an address",
			edits: []string{"underlay: 192.0.2.9", "underlay: [192.0.2.9]"},
			want:  `3:27: "[192.0.2.9], roles: [loadbalancer]}": is a list, not an IP address; write an IP address`,
		},
		{
			name:  "mapping for a MAC",
			edits: []string{`"52:54:00:00:00:0b"`, "{a: b}"},
			want:  `9:53: "{a: b}, addresses: [10.0.0.47]}": is a mapping, not a MAC address; write a MAC address`,
		},
		{
			name: "number for a truth value",
			more: `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 1}], backends: [{interface: vm-a, drain: 1}]}]
`,
			want: `10:131: "1": is a number, not a truth value; write true or false`,
		},
		{
			name: "drain",
			more: `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 1}], backends: [{interface: vm-a, drain: true}]}]
`,
		},
		{
			name:  "anchor and alias",
			edits: []string{"roles: [hypervisor]", "roles: &r [hypervisor]", "roles: [loadbalancer]", "roles: *r"},
			want: `2:45: "&r [hypervisor]}": has an anchor, which a fleet cannot use; remove &r and write out the values that refer to it
3:45: "*r}": is an alias, which a fleet cannot use; write out the value it stands for`,
		},
		{
			name:  "merge key",
			edits: []string{"{name: lb1,", "{<<: {name: lb1},"},
			want: `3:5: "{<<: {name: lb1}, underlay: 192.0.2.9, roles: [loadbalancer]}": field name is missing; add name
3:6: "<<": is a merge key, which a fleet cannot use; write out the fields it stands for`,
		},
		{
			name:  "tag",
			edits: []string{"vni: 100", "vni: !!int 100"},
			want:  `6:10: "!!int 100": has a tag, which a fleet cannot use; remove !!int`,
		},
		{
			name:  "list for a key",
			edits: []string{"{name: lb1,", "{[name]: lb1,"},
			want: `3:5: "{[name]: lb1, underlay: 192.0.2.9, roles: [loadbalancer]}": field name is missing; add name
3:6: "[name]: lb1, underlay: 192.0.2.9, roles: [loadbalancer]}": is not the name of a field; use one of name, underlay, roles, uplink, state`,
		},
		{
			name: "hosts of the wrong type hide no more than the hosts",
			edits: []string{`hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: lb1, underlay: 192.0.2.9, roles: [loadbalancer]}`, "hosts: none", "vni: 100", "vni: 0"},
			want: `1:8: "none": is a text, not a list; write [none]
4:10: "0": is out of range; use a number in 1-16777215`,
		},
		{
			name: "interfaces of the wrong type hide no more than the interfaces",
			more: `    virtualIPs: [{addresses: [45.86.152.30, 45.86.152.31], interface: vm-a}]
  - {name: zeta, vni: 200, interfaces: none, virtualIPs: [{addresses: [45.86.152.32], interface: vm-a}]}
`,
			want: `10:45: "45.86.152.31": entry has another IPv4 address (line 10); write one entry for each address
11:40: "none": is a text, not a list; write [none]`,
		},
		{
			name: "folded text",
			edits: []string{"name: lb1, ", `name: "lb1
      x", `},
			want: `3:12: "\"lb1": is not a valid name; use lower-case letters, digits and inner hyphens`,
		},
		{
			name: "literal text",
			edits: []string{"vni: 100", `vni: |
      100`},
			want: `6:10: "|": is a text, not a number; write a number`,
		},
		{
			name:  "characters beyond ASCII",
			edits: []string{"name: lb1", `name: "hübsch", state: "güt"`},
			want: `3:12: "hübsch": is not a valid name; use lower-case letters, digits and inner hyphens
3:29: "güt": unknown value; use one of up, down`,
		},
		{
			name: "second document",
			more: `---
hosts: []
`,
			want: `10:1: "---": a second document begins; keep the whole fleet in one document`,
		},
		{
			name:  "syntax: unclosed mapping",
			edits: []string{"[loadbalancer]}", "[loadbalancer]"},
			want:  `4:1: "tenants:": did not find expected ',' or '}' while parsing a flow mapping; correct the YAML syntax here or on the line before`,
		},
		{
			name:  "syntax: unclosed quote",
			edits: []string{`"fd00::12"`, `"fd00::12`},
			want:  `9:54: "52:54:00:00:00:0b\", addresses: [10.0.0.47]}": did not find expected ',' or ']' while parsing a flow sequence; correct the YAML syntax here or on the line before`,
		},
		{
			name:  "syntax: tab",
			edits: []string{"    vni", "	vni"},
			want:  `6:1: "\tvni: 100": found a tab character that violates indentation while scanning a plain scalar; correct the YAML syntax here or on the line before`,
		},
		{
			name:  "syntax: indentation",
			edits: []string{"    vni", "   vni"},
			want:  `6:4: "vni: 100": did not find expected '-' indicator while parsing a block collection; correct the YAML syntax here or on the line before`,
		},
		{
			name:  "syntax: colon in a value",
			edits: []string{"vni: 100", "vni: a: b"},
			want:  `6:11: ": b": mapping values are not allowed in this context; correct the YAML syntax here or on the line before`,
		},
		{
			name:  "syntax: reserved character",
			edits: []string{"vni: 100", "vni: @100"},
			want:  `6:10: "@100": found character that cannot start any token while scanning for the next token; correct the YAML syntax here or on the line before`,
		},
		{
			name:  "syntax: unknown alias",
			edits: []string{"vni: 100", "vni: *v"},
			want:  `6:10: "*v": unknown anchor 'v' referenced; correct the YAML syntax here or on the line before`,
		},
		{
			name:  "syntax: control character",
			edits: []string{"vni: 100", "vni: \u0001"},
			want:  `6:10: "\x01": is not a character of UTF-8 text; save the file in UTF-8 without control characters`,
		},
	})
}
