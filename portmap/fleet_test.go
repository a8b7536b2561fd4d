package portmap

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	addrA = netip.MustParseAddr("45.86.152.23")
	addrB = netip.MustParseAddr("45.86.152.24")
)

var defaultOverlay = config.Overlay{
	IPv4: netip.MustParsePrefix("100.64.0.0/10"),
	IPv6: netip.MustParsePrefix("fd00:c0de::/64"),
	Port: 4789,
}

// aFleet returns a fleet with the hosts and one tenant, acme, which has one interface per word of "vm-a@hv1 vm-b@hv2".
func aFleet(hosts, interfaces string, gw *config.NATGateway) *config.Fleet {
	f := &config.Fleet{Overlay: defaultOverlay}
	for _, h := range strings.Fields(hosts) {
		f.Hosts = append(f.Hosts, config.Host{Name: h, Roles: []config.Role{config.Hypervisor}})
	}
	f.Tenants = []config.Tenant{{Name: "acme", VNI: 100, NATGateway: gw, Interfaces: someInterfaces(interfaces)}}
	return f
}

func someInterfaces(words string) []config.Interface {
	var ifaces []config.Interface
	for _, w := range strings.Fields(words) {
		name, host, _ := strings.Cut(w, "@")
		ifaces = append(ifaces, config.Interface{Name: name, Host: host})
	}
	return ifaces
}

func perHost(n int, addrs ...netip.Addr) *config.NATGateway {
	return &config.NATGateway{Addresses: addrs, PortsPerHost: n}
}

func perInterface(n int, addrs ...netip.Addr) *config.NATGateway {
	return &config.NATGateway{Addresses: addrs, PortsPerInterface: n}
}

// mustAllocate allocates and proves.
func mustAllocate(t testing.TB, old *Lock, f *config.Fleet) *Lock {
	t.Helper()
	lock, err := Allocate(old, f)
	if err != nil {
		t.Fatalf("allocate: %v", err)
	}
	if err := Prove(lock, f); err != nil {
		t.Fatalf("prove: %v", err)
	}
	return lock
}

// show prints a tenant's claims, one a line: "host hv1: 23:1024-2047 | 24:1024-2047" with retired blocks after the bar.
func show(t *Tenant) string {
	var b strings.Builder
	if t == nil {
		return ""
	}
	for _, c := range t.Claims {
		fmt.Fprintf(&b, "%s:", c.Claimant)
		for _, bl := range c.Blocks {
			fmt.Fprintf(&b, " %s", short(bl))
		}
		if len(c.Retired) > 0 {
			b.WriteString(" |")
		}
		for _, bl := range c.Retired {
			fmt.Fprintf(&b, " %s", short(bl))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func short(b Block) string {
	return fmt.Sprintf("%d:%d-%d", b.Address.As4()[3], b.First, b.Last)
}

// wantClaims compares the claims of acme with show's text, indentation aside.
func wantClaims(t *testing.T, lock *Lock, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line+"\n")
		}
	}
	if diff := diffOf(strings.Join(lines, ""), show(lock.Tenants["acme"])); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

// aBlock reads "23:1024-2047" as a block of 45.86.152.23.
func aBlock(s string) Block {
	b, err := ParseBlock("45.86.152." + s)
	if err != nil {
		panic(err)
	}
	return b
}

func someBlocks(words string) []Block {
	var blocks []Block
	for _, w := range strings.Fields(words) {
		blocks = append(blocks, aBlock(w))
	}
	return blocks
}

// diffOf says how the values differ.
func diffOf(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}))
}
