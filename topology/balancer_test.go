package topology

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

const balancerYAML = `portsPerHost: 1024}
    loadBalancers:
      - {name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 443, backendPort: 8443}, {protocol: udp, port: 443}],
         backends: [{interface: vm-b, weight: 3}, {interface: vm-a}]}
      - {name: dns, address: 45.86.152.50, listeners: [{protocol: udp, port: 53}], backends: [{interface: vm-m, drain: true}]}
      - {name: alt, address: 45.86.152.50, listeners: [{protocol: tcp, port: 53}], backends: [{interface: vm-m}]}
      - {name: six, address: "2001:db8::50", listeners: [{protocol: tcp, port: 80}], backends: [{interface: vm-a}]}
`

var (
	balanced = []string{"portsPerHost: 1024}\n", balancerYAML}
	// Nodes are lb6, a host of its own, and hv3, which has no VM of the tenant.
	nodes = slices.Concat(balanced, []string{"hv3, underlay: 192.0.2.3, roles: [hypervisor]", "hv3, underlay: 192.0.2.3, roles: [hypervisor, loadbalancer]"})
)

// service says what a backend is for, where it is and what is special about it.
func service(balancer Balancer, b Backend) string {
	out := fmt.Sprintf("%s %d %s %s %s %s weight %d %s", balancer.Name, b.Sequence, b.Interface, b.VM, b.Address, b.MAC, b.Weight, b.Peer.Host)
	for _, mark := range []struct {
		text  string
		holds bool
	}{{" local", b.Local}, {" down", b.Down}, {" draining", b.Draining}, {" serves", b.Serves()}} {
		if mark.holds {
			out += mark.text
		}
	}
	return out
}

func TestBalancers(t *testing.T) {
	const (
		webB = "web 1 vm-b 10.0.0.47 100.96.0.1 06:63:76:00:00:01 weight 3 hv2"
		webA = "web 2 vm-a 10.0.0.12 100.96.0.2 06:63:76:00:00:02 weight 1 hv1"
		dnsM = "dns 3 vm-m 10.0.0.99 100.96.0.3 06:63:76:00:00:03 weight 1 mix5"
		altM = "alt 4 vm-m 10.0.0.99 100.96.0.4 06:63:76:00:00:04 weight 1 mix5"
		sixA = "six 5 vm-a fd00::12 fd00:c0de::8000:0:0:5 06:63:76:00:00:05 weight 1 hv1"
	)
	for _, tt := range []struct {
		name, host string
		edits      []string
		want       []string
	}{
		{"node", "lb6", nodes, []string{webB + " serves", webA + " serves", dnsM + " draining", altM + " serves", sixA + " serves"}},
		{"backend's host", "hv1", nodes, []string{webB + " serves", webA + " local serves", dnsM + " draining", altM + " serves", sixA + " local serves"}},
		{
			"down", "edge4", slices.Concat(nodes, []string{"{name: hv1,", "{name: hv1, state: down,"}),
			[]string{webB + " serves", webA + " down", dnsM + " draining", altM + " serves", sixA + " down"},
		},
		{"no backends", "lb6", slices.Concat(nodes, []string{"backends: [{interface: vm-b, weight: 3}, {interface: vm-a}]", "backends: []"}), []string{
			strings.NewReplacer("3 vm", "1 vm", "0.3", "0.1", "00:03", "00:01").Replace(dnsM) + " draining",
			strings.NewReplacer("4 vm", "2 vm", "0.4", "0.2", "00:04", "00:02").Replace(altM) + " serves",
			strings.NewReplacer("5 vm", "3 vm", "0:5", "0:3", "00:05", "00:03").Replace(sixA) + " serves",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := parse(t, tt.edits...)
			var got []string
			for _, balancer := range compute(t, fleet, allocate(t, nil, fleet), tt.host).tenant("acme").Balancers {
				for _, b := range balancer.Backends {
					got = append(got, service(balancer, b))
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// TestBackendOrder writes backends in another order than they were created in.
func TestBackendOrder(t *testing.T) {
	fleet := parse(t, nodes...)
	lock := allocate(t, nil, fleet)
	turned := parse(t, slices.Concat(nodes, []string{"{interface: vm-b, weight: 3}, {interface: vm-a}", "{interface: vm-a}, {interface: vm-b, weight: 3}"})...)
	was := compute(t, fleet, lock, "lb6").tenant("acme").Balancers
	is := compute(t, turned, allocate(t, lock, turned), "lb6").tenant("acme").Balancers
	if !reflect.DeepEqual(was, is) {
		t.Errorf("got %v, want %v", is, was)
	}
}

func TestBalancerAddresses(t *testing.T) {
	fleet := parse(t, nodes...)
	tenant := compute(t, fleet, allocate(t, nil, fleet), "lb6").tenant("acme")
	if got, want := fmt.Sprint(tenant.Publics(true)), "[45.86.152.23 45.86.152.24 45.86.152.50]"; got != want {
		t.Errorf("public addresses: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(tenant.Balanced(true), tenant.Balanced(false)), "[45.86.152.50] [2001:db8::50]"; got != want {
		t.Errorf("addresses of load balancers alone: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(tenant.Balancers[0].Listeners), "[{tcp 443 8443} {udp 443 443}]"; got != want {
		t.Errorf("listeners: %s, want %s", got, want)
	}
	for i, want := range []bool{true, false, true, true} {
		if got := tenant.Balancers[i].Open(); got != want {
			t.Errorf("load balancer %d is open: %v, want %v", i, got, want)
		}
	}
}

// TestNodes asks every host who the nodes are and whom it hands packets for listeners to.
func TestNodes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edits []string
		nodes string
		node  map[string]string
	}{
		{"two", nodes, "[hv3 lb6]", map[string]string{"hv1": "lb6", "hv2": "hv3", "hv3": "", "edge4": "hv3", "mix5": "lb6", "lb6": ""}},
		{"one down", slices.Concat(nodes, []string{"{name: lb6,", "{name: lb6, state: down,"}), "[hv3]", map[string]string{"hv1": "hv3", "hv2": "hv3", "hv3": "", "edge4": "hv3", "mix5": "hv3"}},
		{"none", slices.Concat(balanced, []string{"{name: lb6,", "{name: lb6, state: down,"}), "[]", map[string]string{"hv1": "", "edge4": ""}},
		{"no load balancer", nil, "[]", map[string]string{"hv1": "", "edge4": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := parse(t, tt.edits...)
			lock := allocate(t, nil, fleet)
			for host, want := range tt.node {
				tenant := compute(t, fleet, lock, host).tenant("acme")
				var names []string
				for _, p := range tenant.Nodes() {
					names = append(names, p.Host)
				}
				if fmt.Sprint(names) != tt.nodes {
					t.Errorf("%s: nodes %v, want %s", host, names, tt.nodes)
				}
				node, ok := tenant.Node()
				if node.Host != want || ok != (want != "") {
					t.Errorf("%s hands over to %q, want %q", host, node.Host, want)
				}
			}
		})
	}
}

// TestNodesOwners checks that a node without VMs knows who has which ports of the NAT gateway.
func TestNodesOwners(t *testing.T) {
	fleet := parse(t, nodes...)
	lock := allocate(t, nil, fleet)
	owners := make(map[string]bool)
	for _, o := range compute(t, fleet, lock, "lb6").tenant("acme").NAT.Owners {
		owners[o.Peer.Host] = true
	}
	if want := map[string]bool{"hv1": true, "hv2": true, "mix5": true}; !reflect.DeepEqual(owners, want) {
		t.Errorf("owners %v, want %v", owners, want)
	}
	if h := compute(t, fleet, lock, "lb6"); len(h.Tenants) != 1 {
		t.Errorf("a node holds %d tenants, want the one with load balancers", len(h.Tenants))
	}
}

func TestBackendNotInLock(t *testing.T) {
	fleet := parse(t, nodes...)
	lock := allocate(t, nil, fleet)
	delete(lock.Tenants["acme"].Backends, portmap.BackendKey("web", "vm-a"))
	_, err := For(fleet, lock, "hv1")
	if err == nil || !strings.Contains(err.Error(), "backend vm-a of load balancer web of tenant acme has no number in the lock; run `culvert allocate`") {
		t.Errorf("got %v", err)
	}
}

func TestBackendAddress(t *testing.T) {
	for _, tt := range []struct {
		v4, v6   string
		sequence uint32
		want4    string
		want6    string
	}{
		{"100.64.0.0/10", "fd00:c0de::/64", 1, "100.96.0.1", "fd00:c0de::8000:0:0:1"},
		{"10.0.0.0/8", "fd00::/32", 0x7fffff, "10.255.255.255", "fd00:0:8000::7f:ffff"},
		{"10.1.240.0/20", "fd00::/96", 2047, "10.1.255.255", "fd00::8000:7ff"},
		{"10.0.0.0/16", "fd00::/95", 258, "10.0.129.2", "fd00::1:0:102"},
	} {
		o := config.Overlay{IPv4: netip.MustParsePrefix(tt.v4), IPv6: netip.MustParsePrefix(tt.v6)}
		if got := BackendAddress(o, tt.sequence, true).String(); got != tt.want4 {
			t.Errorf("backend %d of %s: %s, want %s", tt.sequence, tt.v4, got, tt.want4)
		}
		if got := BackendAddress(o, tt.sequence, false).String(); got != tt.want6 {
			t.Errorf("backend %d of %s: %s, want %s", tt.sequence, tt.v6, got, tt.want6)
		}
	}
}
