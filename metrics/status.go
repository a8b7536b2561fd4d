package metrics

import (
	"strings"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/source"
)

// host tells how the host is.
func (s *scrape) host(status daemon.Status) {
	s.put("culvert_build_info", 1, status.Version)
	// Hosts that count another host as lost, or start from their cache, have the same fleet as the others.
	generation, note, _ := strings.Cut(status.Generation, " ")
	s.put("culvert_fleet_info", 1, generation, note, status.Source)
	s.put("culvert_fleet_refused", truth(status.Refused != nil || status.Away != nil))
	s.put("culvert_fleet_unkept", truth(status.Unkept != nil))
	s.put("culvert_ready", truth(status.Ready))
	s.put("culvert_host_error", truth(status.Error != nil))
	s.put("culvert_not_carried_out", float64(status.Lacking))
	s.faults("", status.HostFaults)
	c := status.Converged
	status.Unkept = nil // told above, and no reason why the host is not as the fleet says
	s.put("culvert_converged", truth(c != nil && c.Generation == status.Generation && status.Healthy()))
	if c != nil {
		s.put("culvert_convergence_seconds", c.Took.Seconds())
		s.put("culvert_convergence_timestamp_seconds", moment(c.At))
	}
	s.put("culvert_changes_total", float64(status.Changes))
	s.put("culvert_drift_repaired_total", float64(status.Drift))
}

// probed tells what the host's own health checks have come to.
func (s *scrape) probed(status daemon.Status) {
	for _, p := range status.Probed {
		s.put("culvert_balancer_backend_healthy", truth(p.Healthy), p.Backend.Tenant, p.Backend.Balancer, p.Backend.Interface)
	}
}

// link tells how the connection to the fleet's source is.
func (s *scrape) link(l source.Link) {
	s.put("culvert_source_connected", truth(l.Connected))
	if !l.Since.IsZero() {
		s.put("culvert_source_connected_change_timestamp_seconds", moment(l.Since))
	}
}

var tenantStates = []daemon.State{daemon.Pending, daemon.Converged, daemon.Waiting, daemon.Failed}

// tenants tells how the daemon keeps each tenant.
func (s *scrape) tenants(status daemon.Status) {
	for _, t := range status.Tenants {
		states(s, "culvert_tenant_state", t.State, tenantStates, t.Name)
		if t.Error != nil {
			s.put("culvert_tenant_error_timestamp_seconds", moment(t.Error.Since), t.Name)
		}
		s.faults(t.Name, t.Faults)
		if !t.Looked.IsZero() {
			s.put("culvert_tenant_looked_timestamp_seconds", moment(t.Looked), t.Name)
		}
		if !t.Changed.IsZero() {
			s.put("culvert_tenant_changed_timestamp_seconds", moment(t.Changed), t.Name)
			s.put("culvert_tenant_change_seconds", t.Took.Seconds(), t.Name)
		}
		s.put("culvert_tenant_waiting_devices", float64(len(t.Waiting)), t.Name)
		s.put("culvert_tenant_drift_repaired_total", float64(t.Drift), t.Name)
	}
}

// faults tell which objects cannot be made. Why is text, and for people.
func (s *scrape) faults(tenant string, list []daemon.Fault) {
	for _, f := range list {
		s.put("culvert_object_error_timestamp_seconds", moment(f.Since), tenant, string(f.Kind), f.Object)
	}
}
