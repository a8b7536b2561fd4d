package metrics

import (
	"strings"

	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/topology"
)

// reading tells what was read of the kernel, with the names that the fleet has for it.
func (s *scrape) reading(r *measure.Reading, host *topology.Host) {
	s.put("culvert_measure_seconds", r.Took.Seconds())
	s.put("culvert_measure_timestamp_seconds", moment(r.At))
	for reason, n := range dropped(r.Guard) {
		s.put("culvert_host_dropped_packets_total", n, reason)
	}
	wanted := make(map[string]topology.Tenant, len(host.Tenants))
	for _, t := range host.Tenants {
		wanted[t.Name] = t
	}
	for _, t := range r.Tenants {
		s.put("culvert_tenant_measured", truth(t.Err == nil), t.Name)
		s.conntrack(t)
		s.counters(t.Name, t.Counters)
		s.byPeer(t.Name, t.ByPeer)
		for _, c := range t.Claims {
			s.claim(t.Name, c)
		}
		if w, ok := wanted[t.Name]; ok && w.Balancer {
			s.balancers(w, t.Services)
		}
	}
}

func (s *scrape) conntrack(t measure.Tenant) {
	if t.Entries >= 0 && t.Counters != nil {
		s.put("culvert_conntrack_entries", float64(t.Entries), t.Name)
	}
	if t.Limit > 0 {
		s.put("culvert_conntrack_limit", float64(t.Limit), t.Name)
	}
}

// counters tells those of the tenant's rules.
func (s *scrape) counters(tenant string, counters map[string]nft.Count) {
	sums := make(map[string]float64)
	for key, n := range counters {
		_, name, _ := strings.Cut(key, "/")
		if metric, ok := named[name]; ok {
			sums[metric] += float64(n.Packets)
		}
	}
	for metric, n := range sums {
		s.put(metric, n, tenant)
	}
	for reason, n := range dropped(counters) {
		s.put("culvert_dropped_packets_total", n, tenant, reason)
	}
}

// byPeer tells what was sent on to each peer. The counters themselves are not told: they are the sums.
func (s *scrape) byPeer(tenant string, counters map[string]map[string]nft.Count) {
	for peer, n := range counters["netdev/redirected"] {
		s.put("culvert_redirected_packets_total", float64(n.Packets), tenant, peer)
		s.put("culvert_redirected_bytes_total", float64(n.Bytes), tenant, peer)
	}
	for peer, n := range counters["ip/reassembled"] {
		s.put("culvert_reassembled_packets_total", float64(n.Packets), tenant, peer)
	}
}

// dropped adds up over the families what was dropped, by counter.
func dropped(counters map[string]nft.Count) map[string]float64 {
	sums := make(map[string]float64)
	for key, n := range counters {
		if family, name, _ := strings.Cut(key, "/"); family != "conntrack" && !passing[name] {
			sums[name] += float64(n.Packets)
		}
	}
	return sums
}

// named are counters with a metric of their own, added up over the families; conntrack's own are among them.
var named = map[string]string{
	"insert_failed": "culvert_conntrack_insert_failed_total",
	"drop":          "culvert_conntrack_dropped_total",
	"second_hand":   "culvert_redirect_misses_total",
	"exhausted":     "culvert_nat_refused_packets_total",
	"asked":         "culvert_balancer_asked_packets_total",
}

// passing are counters of what goes on its way.
var passing = map[string]bool{"redirected": true, "reassembled": true, "asked": true}

// claim tells what a claimant has and uses of one address.
func (s *scrape) claim(tenant string, c measure.Claim) {
	labels := []string{tenant, c.Address.String(), c.Claimant.String()}
	s.put("culvert_nat_ports", float64(c.Ports), labels...)
	if c.Retired > 0 {
		s.put("culvert_nat_retired_ports", float64(c.Retired), labels...)
	}
	for _, p := range measure.Protocols {
		u, ok := c.Used[p]
		with := append(labels[:len(labels):len(labels)], string(p))
		// A large host has a hundred thousand claimants: those without a flow are left out.
		if ok {
			s.put("culvert_nat_ports_used", float64(u.Ports), with...)
			s.put("culvert_nat_flows", float64(u.Flows), with...)
		}
		if c.Retired > 0 {
			s.put("culvert_nat_retired_ports_used", float64(u.Retired), with...)
		}
	}
}

// balancers tells what IPVS has done, by the fleet's names. A service that the fleet does not have any more is left out.
func (s *scrape) balancers(t topology.Tenant, services []ipvs.ServiceCount) {
	counts := make(map[ipvs.Name]ipvs.ServiceCount, len(services))
	for _, c := range services {
		counts[c.Name] = c
	}
	for _, b := range t.Balancers {
		for _, d := range b.Backends {
			states(s, "culvert_balancer_backend_state", d.State(), topology.BackendStates, t.Name, b.Name, d.Interface)
		}
		for _, l := range b.Listeners {
			name := ipvs.ListenerName(b, l)
			service, ok := counts[name]
			if !ok {
				continue
			}
			labels := []string{t.Name, b.Name, name.String()}
			s.count("culvert_balancer", service.Count, labels)
			for _, d := range b.Backends {
				s.backend(service, d, labels)
			}
		}
	}
}

// backend tells what a service has given to a backend. A listener has one destination of each, by the backend's own address.
func (s *scrape) backend(service ipvs.ServiceCount, b topology.Backend, labels []string) {
	for _, d := range service.Destinations {
		if d.Address.Addr() != b.Address {
			continue
		}
		labels := append(labels[:len(labels):len(labels)], b.Interface)
		s.count("culvert_balancer_backend", d.Count, labels)
		s.put("culvert_balancer_backend_active_connections", float64(d.Active), labels...)
		s.put("culvert_balancer_backend_inactive_connections", float64(d.Inactive), labels...)
		s.put("culvert_balancer_backend_weight", float64(d.Weight), labels...)
		return
	}
}

func (s *scrape) count(prefix string, c ipvs.Count, labels []string) {
	s.put(prefix+"_connections_total", float64(c.Connections), labels...)
	s.put(prefix+"_packets_total", float64(c.Packets), labels...)
	s.put(prefix+"_bytes_total", float64(c.Bytes), labels...)
}
