package observe

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/traffic"
)

const balancerFleet = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: lb1, underlay: 192.0.2.11, roles: [loadbalancer]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv1, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.13]}
      - {name: vm-c, host: hv1, device: tap-c, mac: "52:54:00:00:00:0c", addresses: [10.0.0.14]}
    loadBalancers:
      - name: web
        address: 45.86.152.30
        listeners: [{protocol: tcp, port: 443, backendPort: 8443}]
        backends: [{interface: vm-a, weight: 2}, {interface: vm-b}, {interface: vm-c, drain: true}]
`

// TestBalancer opens connections to a listener and compares what is told of it and its backends with what ipvsadm(8) prints.
func TestBalancer(t *testing.T) {
	if err := live.CanBalance(); err != nil {
		t.Skip("needs IPVS: ", err)
	}
	r := newRig(t, balancerFleet, "lb1")
	for vm, address := range map[string]string{"acme/vm-a": "10.0.0.12", "acme/vm-b": "10.0.0.13"} {
		r.serve(vm, traffic.TCP, address+":8443")
	}
	const flows = 30
	r.connect("server", traffic.TCP, netip.MustParseAddrPort("45.86.152.30:443"), flows)
	// The kernel adds its counters up every two seconds (ip_vs_est.c).
	r.eventually("IPVS has counted", func() error {
		counted, err := r.ipvs()
		if n := counted[`culvert_balancer_connections_total{balancer="web",listener="tcp 45.86.152.30:443",tenant="acme"}`]; err == nil && n != flows {
			err = fmt.Errorf("%v connections, want %d", n, flows)
		}
		return err
	})
	told := r.same("IPVS", r.ipvs, "culvert_balancer_connections", "culvert_balancer_packets", "culvert_balancer_bytes",
		"culvert_balancer_backend_connections", "culvert_balancer_backend_packets", "culvert_balancer_backend_bytes",
		"culvert_balancer_backend_active", "culvert_balancer_backend_inactive", "culvert_balancer_backend_weight")
	var active float64
	for series, n := range told {
		if strings.HasPrefix(series, "culvert_balancer_backend_active") {
			active += n
		}
	}
	if active != flows {
		t.Errorf("%v active connections, want %d: %v", active, flows, told)
	}
	all, err := r.scrape()
	if err != nil {
		t.Fatal(err)
	}
	for backend, state := range map[string]string{"vm-a": "serving", "vm-b": "serving", "vm-c": "draining"} {
		if series := fmt.Sprintf(`culvert_balancer_backend_state{backend=%q,balancer="web",state=%q,tenant="acme"}`, backend, state); all[series] != 1 {
			t.Errorf("%s is %v, want 1", series, all[series])
		}
	}
	r.page("/tenant/acme", "tcp 45.86.152.30:443", fmt.Sprintf("%d connections", flows), "draining")
}

// ipvs reads what ipvsadm(8) prints.
func (r *rig) ipvs() (map[string]float64, error) {
	out := make(map[string]float64)
	backends := make(map[string]string)
	host, _ := r.daemon.Fleet()
	for _, b := range host.Tenants[0].Balancers[0].Backends {
		backends[b.Address.String()+":443"] = b.Interface
	}
	for _, mode := range []struct {
		option  string
		columns []string
	}{
		// Prot LocalAddress:Port Conns InPkts OutPkts InBytes OutBytes; -> RemoteAddress:Port the same
		{"--stats", []string{"connections_total", "packets_total", "", "bytes_total"}},
		// TCP address Scheduler Flags; -> RemoteAddress:Port Forward Weight ActiveConn InActConn
		{"", []string{"", "weight", "active_connections", "inactive_connections"}},
	} {
		words := []string{"ipvsadm", "-L", "-n"}
		if mode.option != "" {
			words = append(words, mode.option, "--exact")
		}
		text, err := r.tool("lb1/acme", words...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			labels, metric := "", ""
			switch {
			case len(fields) > 2 && fields[0] == "TCP" && mode.option != "":
				metric, labels = "culvert_balancer_", `{balancer="web",listener="tcp 45.86.152.30:443",tenant="acme"}`
			case len(fields) > 2 && fields[0] == "->" && backends[fields[1]] != "":
				metric, labels = "culvert_balancer_backend_", fmt.Sprintf(`{backend=%q,balancer="web",listener="tcp 45.86.152.30:443",tenant="acme"}`, backends[fields[1]])
			default:
				continue
			}
			for i, column := range mode.columns {
				if column == "" {
					continue
				}
				if !regexp.MustCompile(`^\d+$`).MatchString(fields[2+i]) {
					return nil, fmt.Errorf("ipvsadm: %q", line)
				}
				n, err := strconv.ParseFloat(fields[2+i], 64)
				if err != nil {
					return nil, err
				}
				out[metric+column+labels] = n
			}
		}
	}
	return out, nil
}
