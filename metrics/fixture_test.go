package metrics

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
)

const fleetYAML = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor, loadbalancer]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
    loadBalancers:
      - name: web
        address: 45.86.152.30
        listeners: [{protocol: tcp, port: 443, backendPort: 8443}]
        backends: [{interface: vm-a, weight: 3}, {interface: vm-b, drain: true}]
`

// readings are given, not read.
type readings struct {
	*measure.Reading
	err error
}

func (r readings) Read(context.Context) (*measure.Reading, error) { return r.Reading, r.err }

// at is a time of the fixture.
func at(seconds int64) time.Time { return time.Unix(1_800_000_000+seconds, 0) }

// options are a host on which every metric has a value.
func options(t *testing.T) Options {
	t.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(fleetYAML))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := portmap.Allocate(nil, fleet)
	if err != nil {
		t.Fatal(err)
	}
	host, err := topology.For(fleet, lock, "hv1")
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Status: status,
		Fleet:  func() (*topology.Host, *portmap.Lock) { return &host, lock },
		Meter:  readings{Reading: reading(host)},
		Link:   func() source.Link { return source.Link{Connected: true, Since: at(5)} },
	}
}

func status() daemon.Status {
	return daemon.Status{
		Host: "hv1", Version: "1.2.3", Source: "etcd://etcd1:2379/culvert", Generation: "42 without hv3", Ready: true,
		Converged: &daemon.Convergence{Generation: "42 without hv3", At: at(10), Took: 1500 * time.Millisecond},
		Changes:   17, Drift: 3,
		Probed: []daemon.ProbedBackend{
			{Backend: topology.BackendID{Tenant: "acme", Balancer: "web", Interface: "vm-a"}, Healthy: true},
			{Backend: topology.BackendID{Tenant: "acme", Balancer: "dns", Interface: "vm-a"}},
		},
		Tenants: []daemon.Tenant{
			{
				Name: "acme", State: daemon.Failed, Generation: "41", Looked: at(20), Changed: at(19), Took: 80 * time.Millisecond, Drift: 3,
				Error: &daemon.Incident{Error: "no", Since: at(18)}, Waiting: []string{"tap-a"},
				Faults: []daemon.Fault{{Kind: agent.OverlayChange, Object: "route 10.0.0.47/32 dev vx100", Incident: daemon.Incident{Error: "no", Since: at(17)}}},
			},
			{Name: "blue", State: daemon.Pending},
		},
	}
}

func reading(host topology.Host) *measure.Reading {
	acme := host.Tenants[0]
	web := acme.Balancers[0]
	destination := func(i int, c ipvs.Count, weight, active, inactive uint32) ipvs.DestinationCount {
		return ipvs.DestinationCount{
			Address: netip.AddrPortFrom(web.Backends[i].Address, 443), Count: c, Weight: weight, Active: active, Inactive: inactive,
		}
	}
	return &measure.Reading{
		At: at(30), Took: 12 * time.Millisecond,
		Guard: map[string]nft.Count{"ip/stray_in": {Packets: 4}, "ip6/stray_in": {Packets: 2}},
		Tenants: []measure.Tenant{
			{
				Name: "acme", Entries: 321, Limit: 100_000,
				Counters: map[string]nft.Count{
					"netdev/redirected": {Packets: 1000, Bytes: 64_000}, "ip/reassembled": {Packets: 5}, "ip/second_hand": {Packets: 6},
					"ip/exhausted": {Packets: 7}, "ip/asked": {Packets: 8}, "ip6/asked": {Packets: 1},
					"ip/spoofed": {Packets: 9}, "ip6/spoofed": {Packets: 10}, "arp/spoofed": {Packets: 11},
					"conntrack/insert_failed": {Packets: 12}, "conntrack/drop": {Packets: 13},
				},
				ByPeer: map[string]map[string]nft.Count{
					"netdev/redirected": {"hv2": {Packets: 990, Bytes: 63_000}, "lb1": {Packets: 10, Bytes: 1000}},
					"ip/reassembled":    {"hv2": {Packets: 5}, "lb1": {}},
				},
				Claims: []measure.Claim{{
					Claimant: portmap.Claimant{Host: "hv1"}, Address: netip.MustParseAddr("45.86.152.23"), Ports: 1024, Retired: 64,
					Used: map[measure.Protocol]measure.Use{measure.TCP: {Ports: 900, Retired: 3, Flows: 1200}, measure.SCTP: {Ports: 1, Flows: 1}},
				}},
				Services: []ipvs.ServiceCount{
					{
						Name: ipvs.ListenerName(web, web.Listeners[0]), Count: ipvs.Count{Connections: 30, Packets: 1 << 33, Bytes: 1 << 40},
						Destinations: []ipvs.DestinationCount{
							destination(0, ipvs.Count{Connections: 20, Packets: 1 << 32, Bytes: 1 << 39}, 3, 14, 2),
							destination(1, ipvs.Count{Connections: 10, Packets: 1 << 32, Bytes: 1 << 39}, 0, 1, 0),
						},
					},
					{Name: ipvs.Name{Protocol: config.UDP, Address: netip.MustParseAddrPort("45.86.152.99:53")}}, // the fleet has it no more
				},
			},
			{Name: "blue", Err: errors.New("no namespace")},
		},
	}
}
