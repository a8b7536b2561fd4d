package topology

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// anyFleet draws a fleet document; edges and hypervisors may be down, interfaces are spread over hypervisors.
func anyFleet(t *rapid.T, label string) *config.Fleet {
	var b strings.Builder
	b.WriteString("hosts:\n")
	const hosts = 5
	roles := []string{"hypervisor", "hypervisor", "hypervisor, edge", "hypervisor, edge", "edge"}
	for i := range hosts {
		fmt.Fprintf(&b, "  - {name: h%d, underlay: 192.0.2.%d, roles: [%s]", i, i+1, roles[i])
		if strings.Contains(roles[i], "edge") {
			b.WriteString(", uplink: eth1")
		}
		if rapid.IntRange(0, 3).Draw(t, fmt.Sprint(label, " state ", i)) == 0 {
			b.WriteString(", state: down")
		}
		b.WriteString("}\n")
	}
	b.WriteString("tenants:\n")
	for n := range 2 {
		fmt.Fprintf(&b, "  - name: t%d\n    vni: %d\n    interfaces:\n", n, n+1)
		interfaces := rapid.IntRange(1, 5).Draw(t, fmt.Sprint(label, " interfaces ", n))
		for v := range interfaces {
			host := rapid.IntRange(0, hosts-2).Draw(t, fmt.Sprint(label, " host of ", n, v))
			fmt.Fprintf(&b, "      - {name: vm%d, host: h%d, device: tap%d-%d, mac: \"52:54:00:00:%02x:%02x\", addresses: [10.0.0.%d]}\n", v, host, n, v, n, v, v+1)
		}
		per := rapid.SampledFrom([]string{"portsPerHost", "portsPerInterface"}).Draw(t, fmt.Sprint(label, " claimants ", n))
		size := 64 * rapid.IntRange(1, 40).Draw(t, fmt.Sprint(label, " size ", n))
		fmt.Fprintf(&b, "    natGateway: {addresses: [198.51.100.%d, 198.51.100.%d], %s: %d}\n", 2*n, 2*n+1, per, size)
		b.WriteString("    virtualIPs:\n")
		for v := range rapid.IntRange(1, 4).Draw(t, fmt.Sprint(label, " VIPs ", n)) {
			of := rapid.IntRange(0, interfaces-1).Draw(t, fmt.Sprint(label, " VIP of ", n, v))
			fmt.Fprintf(&b, "      - {addresses: [203.0.113.%d], interface: vm%d}\n", 10*n+v, of)
		}
	}
	fleet, err := config.Parse("fleet.yaml", []byte(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	return fleet
}

// port is one granule of a public address: all its ports have the same owner.
type port struct {
	address netip.Addr
	first   int
}

func granules(b portmap.Block) []port {
	var out []port
	for p := int(b.First); p <= int(b.Last); p += portmap.Granule {
		out = append(out, port{b.Address, p})
	}
	return out
}

// TestEveryPortHasOneOwner looks at all hosts at once: of the hypervisors that are up and hold a tenant, exactly one does not
// send a port on, and all others send it to that one. What belongs to a host that is down, nobody sends on.
func TestEveryPortHasOneOwner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := anyFleet(t, "first")
		lock, err := portmap.Allocate(nil, first)
		if err != nil {
			t.Fatal(err)
		}
		// A second fleet on the same lock has retired blocks and moved interfaces.
		fleet := anyFleet(t, "second")
		if lock, err = portmap.Allocate(lock, fleet); err != nil {
			t.Skip("does not fit")
		}
		up := make(map[string]bool)
		hosts := make(map[string]Host)
		for _, h := range fleet.Hosts {
			up[h.Name] = h.State == config.Up
			if hosts[h.Name], err = For(fleet, lock, h.Name); err != nil {
				t.Fatal(err)
			}
			if again, _ := For(fleet, lock, h.Name); !reflect.DeepEqual(again, hosts[h.Name]) {
				t.Fatalf("%s differs the second time", h.Name)
			}
		}
		for _, tenant := range fleet.Tenants {
			checkTenant(t, tenant, lock, hosts, up)
			checkVIPs(t, tenant, hosts, up)
		}
	})
}

func checkTenant(t *rapid.T, tenant config.Tenant, lock *portmap.Lock, hosts map[string]Host, up map[string]bool) {
	sendsTo := make(map[string]map[port]string)
	holds := make(map[string]bool)
	home := make(map[string]string)
	for _, i := range tenant.Interfaces {
		holds[i.Host], home[i.Name] = true, i.Host
	}
	for name := range holds {
		sendsTo[name] = make(map[port]string)
		for _, o := range hosts[name].tenant(tenant.Name).NAT.Owners {
			for _, p := range granules(o.Block) {
				if was, twice := sendsTo[name][p]; twice {
					t.Fatalf("%s sends %v to %s and to %s", name, p, was, o.Peer.Host)
				}
				if o.Peer.Host == name || !up[o.Peer.Host] {
					t.Fatalf("%s sends %v to %s, which is itself or down", name, p, o.Peer.Host)
				}
				sendsTo[name][p] = o.Peer.Host
			}
		}
	}
	for _, c := range lock.Tenants[tenant.Name].Claims {
		owner := c.Claimant.Host
		if owner == "" {
			owner = home[c.Claimant.Interface]
		}
		for _, b := range append(c.Blocks, c.Retired...) {
			for _, p := range granules(b) {
				for name := range holds {
					want := owner
					if name == owner || !up[owner] || !holds[owner] {
						want = ""
					}
					if got := sendsTo[name][p]; got != want {
						t.Fatalf("tenant %s: %s sends %v to %q, want %q", tenant.Name, name, p, got, want)
					}
				}
			}
		}
	}
}

// checkVIPs wants each VIP to be local on the host of its interface alone, everybody else to name that host, and no private
// address to have both a VIP and a port of the NAT gateway.
func checkVIPs(t *rapid.T, tenant config.Tenant, hosts map[string]Host, up map[string]bool) {
	home := make(map[string]string)
	for _, i := range tenant.Interfaces {
		home[i.Name] = i.Host
	}
	for name, host := range hosts {
		held := host.tenant(tenant.Name)
		if held.Name == "" {
			continue
		}
		if len(held.VIPs) != len(tenant.VirtualIPs) {
			t.Fatalf("%s has %d VIPs of %d", name, len(held.VIPs), len(tenant.VirtualIPs))
		}
		bound := make(map[netip.Addr]int)
		for i, v := range held.VIPs {
			at := home[tenant.VirtualIPs[i].Interface]
			bound[v.Private]++
			if v.Peer.Host != at || v.Local != (at == name) || v.Down != (!up[at] && at != name) {
				t.Fatalf("%s: %s is %+v, want it on %s", name, v.Public, v, at)
			}
		}
		for _, v := range held.VIPs {
			if v.Shared != (bound[v.Private] > 1) {
				t.Fatalf("%s: %s has %d VIPs, shared is %v", name, v.Private, bound[v.Private], v.Shared)
			}
		}
		for _, s := range held.NAT.Sources {
			if bound[s.Address] > 0 {
				t.Fatalf("%s: %s has a VIP and leaves through the NAT gateway", name, s.Address)
			}
		}
	}
}
