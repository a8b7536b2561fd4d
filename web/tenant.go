package web

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/topology"
)

// tenantPage is a tenant's page.
type tenantPage struct {
	view
	Title    string
	Tenant   topology.Tenant
	State    daemon.Tenant
	Mood     string
	Roles    string
	Problems []problem
	// Measured has the kernel's numbers; Known is false if there are none.
	Measured  measure.Tenant
	Known     bool
	Maps      []portMap
	Balancers []balancer
	Drops     []drop
	Peers     []hostRow
}

// drop is a counter of the rules that is not 0.
type drop struct {
	Name, Family   string
	Packets, Bytes uint64
}

func newTenant(v view, name string) (tenantPage, bool) {
	p := tenantPage{view: v, Title: name}
	if v.Host == nil {
		return p, false
	}
	i := slices.IndexFunc(v.Host.Tenants, func(t topology.Tenant) bool { return t.Name == name })
	if i < 0 {
		return p, false
	}
	p.Tenant = v.Host.Tenants[i]
	p.Roles = roles(p.Tenant.Self)
	if i := slices.IndexFunc(v.Status.Tenants, func(t daemon.Tenant) bool { return t.Name == name }); i >= 0 {
		p.State = v.Status.Tenants[i]
	}
	p.State.State = cmp.Or(p.State.State, daemon.Pending)
	p.Mood = mood(p.State.State)
	for _, one := range problems(v.Status) {
		if one.Tenant == name {
			p.Problems = append(p.Problems, one)
		}
	}
	if v.Reading != nil {
		p.Measured, p.Known = v.Reading.Tenant(name)
	}
	if p.Tenant.NAT != nil && v.Lock != nil && v.Lock.Tenants[name] != nil {
		for _, a := range p.Tenant.NAT.Addresses {
			p.Maps = append(p.Maps, newPortMap(a, v.Lock.Tenants[name], p.Measured))
		}
		draw(p.Maps)
	}
	p.Balancers = newBalancers(p.Tenant, p.Measured.Services)
	p.Drops = drops(p.Measured)
	p.Peers = hostRows(&topology.Host{Tenants: []topology.Tenant{p.Tenant}})
	return p, true
}

// drawn is how many addresses a page has pictures of; the others have their tables.
const drawn = 32

// draw chooses the addresses that are drawn: those that this host has ports of come first, on the page too.
func draw(maps []portMap) {
	slices.SortStableFunc(maps, func(a, b portMap) int { return cmp.Compare(truth(b.Own > 0), truth(a.Own > 0)) })
	left := drawn
	for i := range maps {
		if left > 0 && len(maps[i].Claims) > 0 {
			maps[i].Drawn = true
			left--
		}
	}
}

// drops lists the counters that are not 0, the largest first.
func drops(t measure.Tenant) []drop {
	var out []drop
	for key, n := range t.Counters {
		if family, name, _ := strings.Cut(key, "/"); n.Packets > 0 {
			out = append(out, drop{name, family, n.Packets, n.Bytes})
		}
	}
	slices.SortFunc(out, func(a, b drop) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Family, b.Family))
	})
	return out
}

// balancer is a load balancer on the page.
type balancer struct {
	Name      string
	Address   netip.Addr
	Listeners []listener
	Backends  []backend
	// Counted is true if this host balances, and so has numbers.
	Counted bool
	// Weights is the sum of those that get new flows.
	Weights int
}

type listener struct {
	Name        string
	BackendPort uint16
	ipvs.Count
}

type backend struct {
	topology.Backend
	State  topology.BackendState
	Mood   string
	Active uint32
	// Inactive are opening and closing, and of UDP all.
	Inactive uint32
	ipvs.Count
}

func newBalancers(t topology.Tenant, services []ipvs.ServiceCount) []balancer {
	var out []balancer
	for _, b := range t.Balancers {
		one := balancer{Name: b.Name, Address: b.Address}
		for _, d := range b.Backends {
			row := backend{Backend: d, State: d.State(), Mood: "bad"}
			switch row.State {
			case topology.Serving:
				row.Mood = "good"
				one.Weights += d.Weight
			case topology.Draining:
				row.Mood = "busy"
			}
			one.Backends = append(one.Backends, row)
		}
		for _, l := range b.Listeners {
			name := ipvs.ListenerName(b, l)
			row := listener{Name: name.String(), BackendPort: l.BackendPort}
			for _, s := range services {
				if s.Name == name {
					row.Count, one.Counted = s.Count, true
					one.count(s.Destinations)
				}
			}
			one.Listeners = append(one.Listeners, row)
		}
		out = append(out, one)
	}
	return out
}

// count adds what a listener's destinations have to the backends.
func (b *balancer) count(destinations []ipvs.DestinationCount) {
	for _, d := range destinations {
		for i := range b.Backends {
			if row := &b.Backends[i]; row.Address == d.Address.Addr() {
				row.Active += d.Active
				row.Inactive += d.Inactive
				row.Connections += d.Connections
				row.Packets += d.Packets
				row.Bytes += d.Bytes
			}
		}
	}
}
