package health

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

func TestChecks(t *testing.T) {
	backends := []topology.Backend{
		{Interface: "vm-a", VM: netip.MustParseAddr("10.0.0.12"), Local: true},
		{Interface: "vm-b", VM: netip.MustParseAddr("10.0.0.47")},
	}
	listeners := []config.Listener{{Port: 443, BackendPort: 8443}, {Port: 80, BackendPort: 8080}}
	tenant := topology.Tenant{Name: "acme", Balancers: []topology.Balancer{
		{Name: "web", Listeners: listeners, Backends: backends, HealthCheck: &config.HealthCheck{Protocol: config.CheckHTTPS}},
		{Name: "other", Listeners: listeners, Backends: backends, HealthCheck: &config.HealthCheck{Protocol: config.CheckTCP, Port: 9000}},
		{Name: "ping", Listeners: listeners, Backends: backends, HealthCheck: &config.HealthCheck{Protocol: config.CheckICMP}},
		{Name: "trusting", Listeners: listeners, Backends: backends},
	}}
	var got []string
	for _, c := range Checks(tenant) {
		got = append(got, fmt.Sprintf("%s %s", c.Backend, c.Target))
	}
	want := []string{"acme/web/vm-a https 10.0.0.12:8443", "acme/other/vm-a tcp 10.0.0.12:9000", "acme/ping/vm-a icmp 10.0.0.12"}
	if !slices.Equal(got, want) {
		t.Errorf("Checks: %q, want %q", got, want)
	}
}
