package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameFleet compares the comparable types of net/netip as such.
var sameFleet = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// exampleFleet is what testdata/fleet.yaml, the example of the design, says.
func exampleFleet() *Fleet {
	addr := netip.MustParseAddr
	return &Fleet{
		Overlay: DefaultOverlay(),
		Hosts: []Host{
			{Name: "hv1", Underlay: addr("192.0.2.1"), Roles: []Role{Hypervisor}, State: Up},
			{Name: "hv2", Underlay: addr("192.0.2.2"), Roles: []Role{Hypervisor}, State: Up},
			{Name: "lb1", Underlay: addr("192.0.2.9"), Roles: []Role{LoadBalancer}, State: Up},
			{Name: "edge1", Underlay: addr("192.0.2.254"), Roles: []Role{Edge}, Uplink: "eth1", State: Up},
		},
		Tenants: []Tenant{{
			Name: "acme",
			VNI:  100,
			Interfaces: []Interface{
				{
					Name: "vm-a", Host: "hv1", Device: "tap-a", MAC: MAC{0x52, 0x54, 0, 0, 0, 0x0a},
					Addresses: []netip.Addr{addr("10.0.0.12"), addr("fd00::12")},
				},
				{
					Name: "vm-b", Host: "hv2", Device: "tap-b", MAC: MAC{0x52, 0x54, 0, 0, 0, 0x0b},
					Addresses: []netip.Addr{addr("10.0.0.47")},
				},
			},
			NATGateway: &NATGateway{Addresses: []netip.Addr{addr("45.86.152.23")}, PortsPerHost: 1024},
			VirtualIPs: []VirtualIP{{Addresses: []netip.Addr{addr("45.86.152.30"), addr("2001:db8::30")}, Interface: "vm-a"}},
			LoadBalancers: []Balancer{{
				Name: "web", Address: addr("45.86.152.23"),
				Listeners: []Listener{{Protocol: TCP, Port: 443, BackendPort: 8443}},
				Backends:  []Backend{{Interface: "vm-a", Weight: 1}, {Interface: "vm-b", Weight: 2}},
			}},
		}},
	}
}

func TestLoad(t *testing.T) {
	got, err := Load("testdata/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleFleet(), got, sameFleet); diff != "" {
		t.Error(diff)
	}
}

func TestLoadFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fleet.yaml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "load fleet: ") {
		t.Errorf("missing file: got %v", err)
	}
	if err := os.WriteFile(path, []byte("hosts: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	var problems Problems
	if !errors.As(err, &problems) || problems[0].File != path {
		t.Errorf("wrong file: got %v", err)
	}
}

// TestAllProblemsAtOnce mixes problems of the syntax's meaning, of types and between values: none hides another.
func TestAllProblemsAtOnce(t *testing.T) {
	data, err := os.ReadFile("testdata/broken.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("broken.yaml", data)
	if err == nil {
		t.Fatal("no problems")
	}
	got := err.Error() + "\n"
	const golden = "testdata/broken.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("problems differ from %s (write it with -update):\n%s", golden, diff)
	}
}

// TestMessage holds the form that the design promises, to the letter.
func TestMessage(t *testing.T) {
	doc := base + `      - {name: vm-c, host: hv1, device: tap-c, mac: "52:54:00:00:00:0c", addresses:
            [10.0.0.12]}
`
	const want = `fleet.yaml:11:14: "10.0.0.12": address of interface vm-c is already used by interface vm-a of tenant acme ` +
		`(line 8); give every interface of a tenant its own address`
	if _, err := Parse("fleet.yaml", []byte(doc)); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestDocumentForms(t *testing.T) {
	tests := []struct{ name, doc, want string }{
		{"empty", "", `1:1: "": document is empty; declare the hosts: hosts: [{name: hv1, ...}]`},
		{"only a comment", "# nothing\n", `1:1: "# nothing": document is empty; declare the hosts: hosts: [{name: hv1, ...}]`},
		{"null", "~\n", `1:1: "~": document is empty; declare the hosts: hosts: [{name: hv1, ...}]`},
		{"empty mapping", "{}", `1:1: "{}": field hosts is missing; add hosts`},
		{"list", "- hosts\n", `1:1: "- hosts": is a list, not a mapping; write its fields: overlay, hosts, tenants`},
		{"text", "hosts\n", `1:1: "hosts": is a text, not a mapping; write its fields: overlay, hosts, tenants`},
		{"anchor", "&a {hosts: 1}\n", `1:1: "&a {hosts: 1}": has an anchor, which a fleet cannot use; remove &a and write out the values that refer to it`},
		{"byte order mark", "\ufeff" + base, ""},
		{"document start and end", "---\n" + base + "...\n", ""},
		{"carriage returns", strings.ReplaceAll(base, "\n", "\r\n"), ""},
		{"problem after carriage returns and comments", "hosts: # c\r\n  - {name: a, underlay: x, roles: [edge], uplink: u} # c\r\n",
			`2:25: "x": is not an IP address; write an IPv4 address like 192.0.2.1 or an IPv6 address like 2001:db8::1`},
		{"not UTF-8", "hosts:\n  - {name: h\xfc}\n",
			`2:13: "\xfc}": is not a character of UTF-8 text; save the file in UTF-8 without control characters`},
		{"deep nesting", strings.Repeat("[", 20_000),
			`1:10001: "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[": exceeded max depth of 10000 while increasing flow level; correct the YAML syntax here or on the line before`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("fleet.yaml", []byte(test.doc))
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), "fleet.yaml:", "")
			}
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	fleet, err := Parse("fleet.yaml", []byte(`overlay: {port: 8472}
hosts: [{name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}]
tenants:
  - name: acme
    vni: 1
    loadBalancers:
      - {name: a, address: 45.86.152.1, listeners: [{protocol: tcp, port: 1}], healthCheck: {protocol: https}}
      - {name: b, address: 45.86.152.2, listeners: [{protocol: tcp, port: 1}], healthCheck: {protocol: tcp, interval: 1s}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Overlay{DefaultOverlay().IPv4, DefaultOverlay().IPv6, 8472}); fleet.Overlay != want {
		t.Errorf("overlay: got %v, want %v", fleet.Overlay, want)
	}
	want := []HealthCheck{
		{Protocol: CheckHTTPS, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3, Path: "/", Statuses: []int{200}},
		{Protocol: CheckTCP, Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
	}
	for i, balancer := range fleet.Tenants[0].LoadBalancers {
		if diff := cmp.Diff(want[i], *balancer.HealthCheck); diff != "" {
			t.Error(diff)
		}
	}
}
