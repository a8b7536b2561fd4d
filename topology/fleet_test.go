package topology

import (
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// fleetYAML has hosts of every role: hv1-hv3 hypervisors, edge4 an edge, mix5 both, lb6 neither. Ids are 1-6.
const fleetYAML = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: hv3, underlay: 192.0.2.3, roles: [hypervisor]}
  - {name: edge4, underlay: 192.0.2.4, roles: [edge], uplink: eth1}
  - {name: mix5, underlay: 192.0.2.5, roles: [hypervisor, edge], uplink: eth2}
  - {name: lb6, underlay: 192.0.2.6, roles: [loadbalancer]}
tenants:
  - name: zeta
    vni: 300
    interfaces:
      - {name: vm-p, host: hv1, device: tap-p, mac: "52:54:00:00:00:01", addresses: [10.0.0.1]}
      - {name: vm-q, host: hv3, device: tap-q, mac: "52:54:00:00:00:02", addresses: [10.0.0.2]}
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47, "fd00::47"]}
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: ["fd00::12", 10.0.0.12, 10.0.0.13]}
      - {name: vm-m, host: mix5, device: tap-m, mac: "52:54:00:00:00:0c", addresses: [10.0.0.99]}
    natGateway: {addresses: [45.86.152.23, 45.86.152.24], portsPerHost: 1024}
  - name: blue
    vni: 200
    interfaces:
      - {name: vm-x, host: hv1, device: tap-x, mac: "52:54:00:00:00:0d", addresses: [10.0.0.12]}
      - {name: vm-y, host: hv1, device: tap-y, mac: "52:54:00:00:00:0e", addresses: [10.0.0.13]}
      - {name: vm-z, host: hv3, device: tap-z, mac: "52:54:00:00:00:0f", addresses: [10.0.0.14]}
    natGateway: {addresses: [45.86.152.30], portsPerInterface: 2048}
`

// parse reads the fleet with edits: pairs of old and new text.
func parse(t testing.TB, edits ...string) *config.Fleet {
	t.Helper()
	text := fleetYAML
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("the fleet has no %q", edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

func allocate(t testing.TB, old *portmap.Lock, fleet *config.Fleet) *portmap.Lock {
	t.Helper()
	lock, err := portmap.Allocate(old, fleet)
	if err != nil {
		t.Fatal(err)
	}
	if err := portmap.Prove(lock, fleet); err != nil {
		t.Fatal(err)
	}
	return lock
}

// compute is what the host must hold.
func compute(t testing.TB, fleet *config.Fleet, lock *portmap.Lock, host string) Host {
	t.Helper()
	h, err := For(fleet, lock, host)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// tenant finds a tenant of a host; the zero value if it is not there.
func (h Host) tenant(name string) Tenant {
	for _, t := range h.Tenants {
		if t.Name == name {
			return t
		}
	}
	return Tenant{}
}
