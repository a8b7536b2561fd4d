package config

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reparse encodes a fleet and parses the result.
func reparse(fleet *Fleet) (*Fleet, []byte, error) {
	data, err := fleet.Encode()
	if err != nil {
		return nil, nil, err
	}
	again, err := Parse("encoded.yaml", data)
	return again, data, err
}

func TestEncodeExample(t *testing.T) {
	want := exampleFleet()
	got, data, err := reparse(want)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if diff := cmp.Diff(want, got, sameFleet); diff != "" {
		t.Error(diff)
	}
}

// TestEncodeRoundTrip encodes any valid fleet and gets it back.
func TestEncodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawFleet(t)
		got, data, err := reparse(want)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(want, got, sameFleet); diff != "" {
			t.Fatalf("%s\n%s", diff, data)
		}
	})
}

// FuzzParse feeds the parser anything. It must return problems that say where they are, or a fleet that passes again
// after it was written back.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/fleet.yaml", "testdata/broken.yaml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(base + other))
	f.Add([]byte("hosts: [{name: a, underlay: 1.2.3.4, roles: [edge], uplink: \"\\u00fc\\\"\"}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fleet, err := Parse("fuzz.yaml", data)
		if err != nil {
			checkProblems(t, err.(Problems))
			return
		}
		again, encoded, err := reparse(fleet)
		if err != nil {
			t.Fatalf("%v\n%s", err, encoded)
		}
		if diff := cmp.Diff(fleet, again, sameFleet); diff != "" {
			t.Fatalf("%s\n%s", diff, encoded)
		}
	})
}

// checkProblems checks that problems are complete and in order.
func checkProblems(t *testing.T, problems Problems) {
	t.Helper()
	for i, p := range problems {
		if p.File == "" || p.Line < 1 || p.Column < 1 || p.Message == "" || p.Remedy == "" {
			t.Errorf("incomplete: %+v", p)
		}
		if i > 0 && (p.Line < problems[i-1].Line || p.Line == problems[i-1].Line && p.Column < problems[i-1].Column) {
			t.Errorf("out of order: %+v", p)
		}
	}
}

// drawFleet draws a valid fleet. What must be unique is numbered, the rest is random.
func drawFleet(t *rapid.T) *Fleet {
	fleet := &Fleet{Overlay: DefaultOverlay()}
	fleet.Overlay.Port = rapid.Uint16Range(1, 65535).Draw(t, "port")
	for i := range rapid.IntRange(1, 4).Draw(t, "hosts") {
		host := Host{
			Name:     drawName(t, i),
			Underlay: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}),
			Roles:    []Role{Hypervisor},
			State:    rapid.SampledFrom([]HostState{Up, Down}).Draw(t, "state"),
		}
		if rapid.Bool().Draw(t, "edge") {
			host.Roles = append(host.Roles, Edge)
			host.Uplink = "eth0"
		}
		fleet.Hosts = append(fleet.Hosts, host)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "tenants") {
		fleet.Tenants = append(fleet.Tenants, drawTenant(t, fleet, i))
	}
	return fleet
}

// drawName draws a name that ends in a number; some look like numbers and truth values.
func drawName(t *rapid.T, i int) string {
	return rapid.SampledFrom([]string{"host-", "", "0x", "1e", "true-", "x--"}).Draw(t, "name") + fmt.Sprint(100+i)
}

func drawTenant(t *rapid.T, fleet *Fleet, i int) Tenant {
	public := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{45, byte(i), 0, byte(n)}) }
	tenant := Tenant{Name: drawName(t, i), VNI: VNI(1 + i), Conntrack: ConntrackLimit{Max: rapid.IntRange(0, 9).Draw(t, "max")}}
	tenant.Timeouts.UDP = time.Duration(rapid.IntRange(120, 999).Draw(t, "udp")) * time.Second
	for j := range rapid.IntRange(1, 3).Draw(t, "interfaces") {
		tenant.Interfaces = append(tenant.Interfaces, Interface{
			Name: drawName(t, j), Host: rapid.SampledFrom(fleet.Hosts).Draw(t, "host").Name, Device: fmt.Sprintf("tap%d.%d", i, j),
			MAC:       MAC{0x52, 0x54, 0, 0, rapid.Byte().Draw(t, "mac"), byte(j)},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(j)}), netip.AddrFrom16([16]byte{0xfd, 15: byte(j)})},
		})
	}
	if rapid.Bool().Draw(t, "nat") {
		tenant.NATGateway = &NATGateway{Addresses: []netip.Addr{public(1)}}
		ports := 64 * rapid.IntRange(1, 1008).Draw(t, "ports")
		if rapid.Bool().Draw(t, "perHost") {
			tenant.NATGateway.PortsPerHost = ports
		} else {
			tenant.NATGateway.PortsPerInterface = ports
			if i == 0 { // all tenants have the same private addresses
				tenant.NATGateway.Exempt = []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}
			}
		}
	}
	nic := rapid.SampledFrom(tenant.Interfaces).Draw(t, "interface").Name
	if rapid.Bool().Draw(t, "vip") {
		tenant.VirtualIPs = []VirtualIP{{Addresses: []netip.Addr{public(2)}, Interface: nic}}
	}
	for j := range rapid.IntRange(0, 2).Draw(t, "balancers") {
		tenant.LoadBalancers = append(tenant.LoadBalancers, Balancer{
			Name: drawName(t, j), Address: public(1),
			Listeners: []Listener{{Protocol: TCP, Port: uint16(j + 1), BackendPort: rapid.Uint16().Draw(t, "backendPort")}},
			Backends:  []Backend{{Interface: nic, Weight: rapid.IntRange(1, 65535).Draw(t, "weight"), Drain: rapid.Bool().Draw(t, "drain")}},
			HealthCheck: &HealthCheck{
				Protocol: CheckUDP, Interval: 2 * time.Second, Timeout: 10 * time.Millisecond, Rise: 1, Fall: 2,
				Send: drawPayload(t, "send"), Expect: drawPayload(t, "expect"), PanicThreshold: rapid.IntRange(0, 100).Draw(t, "panic"),
			},
		})
	}
	return tenant
}

// drawPayload draws bytes that are hard to quote.
func drawPayload(t *rapid.T, label string) string {
	return rapid.StringOfN(rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune(" \t\r\n\x00\x7f\u0085\u2028\ufeff'\"\\#:-|>{}[]&*!%@`"))), 1, 40, 1024).Draw(t, label)
}
