package web

import (
	"cmp"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/topology"
)

// index is the first page.
type index struct {
	view
	Title string
	// Verdict is one word about the host, Mood its colour: "good", "busy" or "bad".
	Verdict, Mood string
	Problems      []problem
	// More is how many problems are not listed.
	More    int
	Tenants []tenantRow
	Hosts   []hostRow
}

// listed is how many problems the first page has; each tenant's page has its own.
const listed = 20

// tenantRow is a tenant in the table.
type tenantRow struct {
	Name  string
	State daemon.State
	Mood  string
	VNI   uint32
	Roles string
	// Interfaces is the number of NICs here.
	Interfaces int
	// Used is, of the claimant that is nearest to its end, how many ports of how many.
	Used, Ports int
	// Claimant is that one.
	Claimant string
	// Measured is false if there are no numbers of the kernel.
	Measured       bool
	Entries, Limit int
	Refused        uint64
	Drift          int
}

// hostRow is a host that shares tenants with this one.
type hostRow struct {
	Peer    topology.Peer
	Roles   string
	Tenants int
	Self    bool
}

func newIndex(v view) index {
	p := index{view: v, Title: cmp.Or(v.Status.Host, "culvert"), Problems: problems(v.Status)}
	p.Verdict, p.Mood = verdict(v.Status)
	if len(p.Problems) > listed {
		p.More = len(p.Problems) - listed
		p.Problems = p.Problems[:listed]
	}
	if v.Host == nil {
		return p
	}
	states := make(map[string]daemon.Tenant, len(v.Status.Tenants))
	for _, t := range v.Status.Tenants {
		states[t.Name] = t
	}
	readings := make(map[string]measure.Tenant)
	if v.Reading != nil {
		for _, t := range v.Reading.Tenants {
			readings[t.Name] = t
		}
	}
	for _, t := range v.Host.Tenants {
		reading, measured := readings[t.Name]
		p.Tenants = append(p.Tenants, newTenantRow(t, states[t.Name], reading, measured))
	}
	p.Hosts = hostRows(v.Host)
	return p
}

// verdict says how the host is in a word.
func verdict(s daemon.Status) (word, mood string) {
	switch {
	case s.Error != nil:
		return "host fails", "bad"
	case s.Refused != nil:
		return "newer fleet refused", "bad"
	case s.Away != nil:
		return "source of the fleet away", "bad"
	case s.Unkept != nil:
		return "fleet not kept", "bad"
	case slices.ContainsFunc(s.Tenants, func(t daemon.Tenant) bool { return t.State == daemon.Failed }):
		return "tenants fail", "bad"
	case s.Generation == "":
		return "waiting for the fleet", "busy"
	case !s.Healthy():
		return "converging", "busy"
	case slices.ContainsFunc(s.Tenants, func(t daemon.Tenant) bool { return t.State == daemon.Waiting }):
		return "converged, waiting for devices", "busy"
	default:
		return "converged", "good"
	}
}

func mood(s daemon.State) string {
	switch s {
	case daemon.Converged:
		return "good"
	case daemon.Failed:
		return "bad"
	default:
		return "busy"
	}
}

func newTenantRow(t topology.Tenant, state daemon.Tenant, reading measure.Tenant, measured bool) tenantRow {
	row := tenantRow{
		Name: t.Name, State: cmp.Or(state.State, daemon.Pending), VNI: uint32(t.VNI), Roles: roles(t.Self), Interfaces: len(t.Interfaces),
		Drift: state.Drift, Measured: measured && reading.Counters != nil, Entries: reading.Entries, Limit: reading.Limit,
		Refused: reading.Counters["ip/exhausted"].Packets,
	}
	row.Mood = mood(row.State)
	for _, c := range reading.Claims {
		if c.Ports > 0 && (row.Ports == 0 || c.Peak()*row.Ports > row.Used*c.Ports) {
			row.Used, row.Ports, row.Claimant = c.Peak(), c.Ports, c.Claimant.String()
		}
	}
	return row
}

// roles are what a host does for a tenant.
func roles(p topology.Peer) string {
	var out []string
	for _, r := range []struct {
		has  bool
		name string
	}{{p.Hypervisor, "hypervisor"}, {p.Edge, "edge"}, {p.Balancer, "load balancer"}} {
		if r.has {
			out = append(out, r.name)
		}
	}
	return strings.Join(out, ", ")
}

// hostRows lists this host and those that share tenants with it, by name.
func hostRows(host *topology.Host) []hostRow {
	rows := make(map[string]*hostRow)
	add := func(p topology.Peer, self bool) {
		row := rows[p.Host]
		if row == nil {
			row = &hostRow{Peer: p, Self: self}
			rows[p.Host] = row
		}
		row.Tenants++
		row.Peer.Hypervisor = row.Peer.Hypervisor || p.Hypervisor
		row.Peer.Edge = row.Peer.Edge || p.Edge
		row.Peer.Balancer = row.Peer.Balancer || p.Balancer
	}
	for _, t := range host.Tenants {
		add(t.Self, true)
		for _, p := range t.Peers {
			add(p, false)
		}
	}
	out := make([]hostRow, 0, len(rows))
	for _, row := range rows {
		row.Roles = roles(row.Peer)
		out = append(out, *row)
	}
	slices.SortFunc(out, func(a, b hostRow) int { return cmp.Compare(a.Peer.Host, b.Peer.Host) })
	return out
}
