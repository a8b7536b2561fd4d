package observe

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/lab/traffic"
)

const gatewayFleet = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 64}
    conntrack: {max: 5000}
  - name: blue
    vni: 200
    interfaces:
      - {name: vm-q, host: hv1, device: tap-q, mac: "52:54:00:00:00:1a", addresses: [10.0.0.12]}
      - {name: vm-r, host: hv1, device: tap-r, mac: "52:54:00:00:00:1b", addresses: [10.0.0.13]}
    natGateway: {addresses: [45.86.152.24], portsPerInterface: 128}
`

// TestGateway fills ports of two tenants, then has a route of one removed, and compares what is told of ports, flows, conntrack and counters with what conntrack(8) and
// nft(8) print.
func TestGateway(t *testing.T) {
	r := newRig(t, gatewayFleet, "hv1")
	// Answers for hv2's ports come by way of hv1, which sends them on.
	if _, err := r.tool("edge1/acme", "ip", "route", "replace", "45.86.152.23/32", "via", "100.64.0.1", "dev", "vx100", "onlink"); err != nil {
		t.Fatal(err)
	}
	r.fill("acme/vm-b", traffic.UDP, 5)
	r.fill("blue/vm-q", traffic.UDP, 40)
	r.fill("blue/vm-q", traffic.TCP, 25)
	r.fill("blue/vm-r", traffic.TCP, 7)
	r.insist("acme/vm-a", r.fill("acme/vm-a", traffic.UDP, 64)) // all ports that there are

	told := r.same("ports and flows", r.claims, "culvert_nat_ports_used", "culvert_nat_flows")
	for series, want := range map[string]float64{
		`culvert_nat_ports_used{address="45.86.152.23",claimant="host hv1",protocol="udp",tenant="acme"}`:       64,
		`culvert_nat_ports_used{address="45.86.152.24",claimant="interface vm-q",protocol="tcp",tenant="blue"}`: 25,
		`culvert_nat_flows{address="45.86.152.24",claimant="interface vm-q",protocol="udp",tenant="blue"}`:      40,
		`culvert_nat_ports_used{address="45.86.152.24",claimant="interface vm-r",protocol="tcp",tenant="blue"}`: 7,
	} {
		if told[series] != want {
			t.Errorf("%s is %v, want %v", series, told[series], want)
		}
	}
	counters := r.same("counters", r.counters, "culvert_dropped_packets_total", "culvert_redirected_packets_total", "culvert_redirected_bytes_total")
	for _, series := range []string{`culvert_dropped_packets_total{reason="exhausted",tenant="acme"}`, `culvert_redirected_packets_total{peer="hv2",tenant="acme"}`} {
		if counters[series] == 0 {
			t.Errorf("%s is 0: the test shows nothing", series)
		}
	}
	r.same("conntrack", r.conntrack, "culvert_conntrack_entries", "culvert_conntrack_limit", "culvert_conntrack_insert_failed_total")
	r.page("/", "100\u202f%", "64 of 64 ports, host hv1")
	r.page("/tenant/acme", "this host uses 64 of its 64", `<title>host hv1: ports 1024-1087 (64 ports)</title>`, "known to its own host")
	r.drift()
}

// drift undoes what a stranger does and tells so.
func (r *rig) drift() {
	r.Helper()
	before, err := r.scrape()
	if err != nil {
		r.Fatal(err)
	}
	const host, tenant = "culvert_drift_repaired_total", `culvert_tenant_drift_repaired_total{tenant="blue"}`
	if before["culvert_converged"] != 1 || before[host] != 0 || before[tenant] != 0 {
		r.Fatalf("before: converged %v, drift %v, %v", before["culvert_converged"], before[host], before[tenant])
	}
	if _, err := r.tool("hv1/blue", "ip", "route", "delete", "10.0.0.13"); err != nil {
		r.Fatal(err)
	}
	r.eventually("the repair is told", func() error {
		after, err := r.scrape()
		if err == nil && (after[host] == 0 || after[host] != after[tenant] || after["culvert_converged"] != 1) {
			err = fmt.Errorf("drift %v, of the tenant %v, converged %v", after[host], after[tenant], after["culvert_converged"])
		}
		return err
	})
	r.page("/tenant/blue", "Repaired last", "10.0.0.13")
	r.page("/healthz", "ok\n")
}

// fill opens flows from a VM to a port of the server, which it returns.
func (r *rig) fill(vm string, network traffic.Network, flows int) netip.AddrPort {
	r.Helper()
	to := r.serve("server", network, "198.51.100.1:0")
	r.connect(vm, network, to, flows)
	return to
}

// insist sends packets of one more flow, which finds no port.
func (r *rig) insist(vm string, to netip.AddrPort) {
	r.Helper()
	ns := r.open(vm)
	err := ns.Do(func() error {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		for range 10 {
			_, _ = conn.Write([]byte("!")) // that it is refused is what is wanted
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// tenants on hv1 with their claimants: of each public port the one that has it.
var claimants = []struct {
	tenant, address, name string
	first, last           int
}{
	{"acme", "45.86.152.23", "host hv1", 1024, 1087},
	{"blue", "45.86.152.24", "interface vm-q", 1024, 1151},
	{"blue", "45.86.152.24", "interface vm-r", 1152, 1279},
}

// reply finds the public side of a translated flow in what conntrack(8) prints.
var reply = regexp.MustCompile(`(?m)^(\w+) .* dst=(45\.86\.152\.\d+) sport=\d+ dport=(\d+)`)

// claims counts what conntrack(8) lists.
func (r *rig) claims() (map[string]float64, error) {
	out, seen := make(map[string]float64), make(map[string]bool)
	for _, tenant := range []string{"acme", "blue"} {
		text, err := r.tool("hv1/"+tenant, "conntrack", "-L")
		if err != nil {
			return nil, err
		}
		for _, m := range reply.FindAllStringSubmatch(text, -1) {
			port, err := strconv.Atoi(m[3])
			if err != nil {
				return nil, err
			}
			for _, c := range claimants {
				if c.tenant != tenant || c.address != m[2] || port < c.first || port > c.last {
					continue
				}
				labels := fmt.Sprintf(`{address=%q,claimant=%q,protocol=%q,tenant=%q}`, c.address, c.name, m[1], c.tenant)
				out["culvert_nat_flows"+labels]++
				if key := labels + m[3]; !seen[key] {
					seen[key] = true
					out["culvert_nat_ports_used"+labels]++
				}
			}
		}
	}
	return out, nil
}

// counters adds up what nft(8) lists.
func (r *rig) counters() (map[string]float64, error) {
	out := make(map[string]float64)
	for _, tenant := range []string{"acme", "blue"} {
		text, err := r.tool("hv1/"+tenant, "nft", "-j", "list", "counters")
		if err != nil {
			return nil, err
		}
		var list struct {
			Nftables []struct {
				Counter struct {
					Name           string
					Packets, Bytes float64
				}
			}
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, err
		}
		for _, one := range list.Nftables {
			switch c := one.Counter; c.Name {
			case "", "asked", "reassembled":
			case "redirected":
				// All of it is hv2's: there is no other peer.
				out[fmt.Sprintf(`culvert_redirected_packets_total{peer="hv2",tenant=%q}`, tenant)] += c.Packets
				out[fmt.Sprintf(`culvert_redirected_bytes_total{peer="hv2",tenant=%q}`, tenant)] += c.Bytes
			default:
				out[fmt.Sprintf(`culvert_dropped_packets_total{reason=%q,tenant=%q}`, c.Name, tenant)] += c.Packets
			}
		}
	}
	return out, nil
}

// conntrack asks conntrack(8) for its statistics.
func (r *rig) conntrack() (map[string]float64, error) {
	out := make(map[string]float64)
	for _, tenant := range []string{"acme", "blue"} {
		labels := fmt.Sprintf(`{tenant=%q}`, tenant)
		count, err := r.tool("hv1/"+tenant, "conntrack", "-C")
		if err != nil {
			return nil, err
		}
		limit, err := r.tool("hv1/"+tenant, "cat", "/proc/sys/net/netfilter/nf_conntrack_max")
		if err != nil {
			return nil, err
		}
		if tenant == "acme" {
			limit = "5000" // conntrack.max
		}
		for series, text := range map[string]string{"culvert_conntrack_entries": count, "culvert_conntrack_limit": limit} {
			if out[series+labels], err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
				return nil, err
			}
		}
		statistics, err := r.tool("hv1/"+tenant, "conntrack", "-S")
		if err != nil {
			return nil, err
		}
		for _, m := range regexp.MustCompile(`insert_failed=(\d+)`).FindAllStringSubmatch(statistics, -1) {
			n, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				return nil, err
			}
			out["culvert_conntrack_insert_failed_total"+labels] += n
		}
	}
	return out, nil
}
