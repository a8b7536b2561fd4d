package metrics

import "slices"

// Kind is how a metric behaves.
type Kind string

// The kinds.
const (
	Counter Kind = "counter"
	Gauge   Kind = "gauge"
)

// Family is a metric with its labels.
type Family struct {
	Name   string
	Kind   Kind
	Help   string
	Labels []string
	// Series bounds how many there are at once.
	Series string
}

// What the series of labels are bounded by.
const (
	one         = "1"
	perTenant   = "tenants"
	perPeer     = "tenants times their other hypervisors and nodes"
	perClaim    = "the host's claimants, times the public addresses that they have ports of"
	perProtocol = "as before, times 4"
	perListener = "listeners, on a host that balances"
	perBackend  = "listeners times backends, on a host that balances"
)

var (
	tenantLabels   = []string{"tenant"}
	peerLabels     = []string{"tenant", "peer"}
	claimLabels    = []string{"tenant", "address", "claimant"}
	useLabels      = slices.Concat(claimLabels, []string{"protocol"})
	listenerLabels = []string{"tenant", "balancer", "listener"}
	backendLabels  = slices.Concat(listenerLabels, []string{"backend"})
)

// Families are all that is told, in the order of the documentation.
func Families() []Family { return slices.Clone(families) }

// families is the table that [Families] copies. The collector finds them by name.
var families = slices.Concat(hostFamilies, tenantFamilies, gatewayFamilies, balancerFamilies)

var hostFamilies = []Family{
	{"culvert_build_info", Gauge, "Always 1; the label is the daemon's version.", []string{"version"}, one},
	{"culvert_fleet_info", Gauge, "Always 1; the labels are the fleet in force, what of it is to be added (cached, without hv3) and where it comes from.", []string{"generation", "note", "source"}, one},
	{"culvert_fleet_refused", Gauge, "1 if a newer fleet is refused, or its source cannot be reached; the last good one stays.", nil, one},
	{"culvert_fleet_unkept", Gauge, "1 if the fleet in force could not be written to the cache, so that a start without etcd would go back behind it.", nil, one},
	{"culvert_ready", Gauge, "1 once every tenant has been looked at and tried.", nil, one},
	{"culvert_converged", Gauge, "1 if the host is as the newest fleet says, but for devices that are waited for.", nil, one},
	{"culvert_host_error", Gauge, "1 if something concerns the whole host and keeps its tenants from being looked at.", nil, one},
	{"culvert_not_carried_out", Gauge, "How many things this host cannot do, such as a tenant's load balancers without IPVS, or hear; the status says which.", nil, one},
	{"culvert_convergence_seconds", Gauge, "How long the host's last way to another fleet took, from the fleet's arrival.", nil, one},
	{"culvert_convergence_timestamp_seconds", Gauge, "When the host converged to another fleet last.", nil, one},
	{"culvert_changes_total", Counter, "Objects of the kernel that the daemon has changed since it started.", nil, one},
	{"culvert_drift_repaired_total", Counter, "Changes that undid what others had done.", nil, one},
	{"culvert_source_connected", Gauge, "1 if etcd is heard, 0 if not; none with files.", nil, one},
	{"culvert_source_connected_change_timestamp_seconds", Gauge, "Since when etcd is heard, or is not.", nil, one},
	{"culvert_host_dropped_packets_total", Counter, "Packets that the rules of the host's own namespace dropped; the reasons are the counters in ruleset.md.", []string{"reason"}, "5"},
	{"culvert_measure_seconds", Gauge, "How long it took to read the kernel's numbers below, on one processor.", nil, one},
	{"culvert_measure_timestamp_seconds", Gauge, "When they were read.", nil, one},
}

var tenantFamilies = []Family{
	{"culvert_tenant_state", Gauge, "1 for the state that the tenant is in: pending, converged, waiting or failed; 0 for the others.", []string{"tenant", "state"}, "tenants times 4"},
	{"culvert_tenant_error_timestamp_seconds", Gauge, "Since when the tenant fails for the same reason, which the status page tells; none if it does not.", tenantLabels, perTenant},
	{"culvert_object_error_timestamp_seconds", Gauge, "Since when an object of the kernel cannot be made: a link, a route, a service, or all rules of a namespace; the status tells why. None for what does not fail. Without a tenant it is the host's own namespace's.", []string{"tenant", "kind", "object"}, "20 for each tenant that fails, and for the host"},
	{"culvert_tenant_looked_timestamp_seconds", Gauge, "When the kernel was compared with the fleet last.", tenantLabels, perTenant},
	{"culvert_tenant_changed_timestamp_seconds", Gauge, "When something was changed last.", tenantLabels, perTenant},
	{"culvert_tenant_change_seconds", Gauge, "How long the last look that changed something took, all tenants included that were looked at with it.", tenantLabels, perTenant},
	{"culvert_tenant_waiting_devices", Gauge, "Devices that the fleet names and that are not there.", tenantLabels, perTenant},
	{"culvert_tenant_drift_repaired_total", Counter, "Changes that undid what others had done to the tenant.", tenantLabels, perTenant},
	{"culvert_tenant_measured", Gauge, "1 if the tenant's numbers could be read, 0 if not, or not wholly.", tenantLabels, perTenant},
	{"culvert_conntrack_entries", Gauge, "Conntrack entries of the tenant on this host.", tenantLabels, perTenant},
	{"culvert_conntrack_limit", Gauge, "How many it may have: conntrack.max of the tenant, or else the kernel's nf_conntrack_max.", tenantLabels, perTenant},
	{"culvert_conntrack_insert_failed_total", Counter, "Packets whose new entry met another: a source that has used up its ports, or two packets of one flow at once.", tenantLabels, perTenant},
	{"culvert_conntrack_dropped_total", Counter, "Packets that conntrack dropped, a full table's included.", tenantLabels, perTenant},
	{"culvert_dropped_packets_total", Counter, "Packets that the tenant's rules dropped, refused or reset; the reasons are the counters in ruleset.md.", []string{"tenant", "reason"}, "tenants times 25, usually times 20"},
	{"culvert_redirected_packets_total", Counter, "Packets for a peer's ports or virtual IPs that landed on this host and were sent on to it.", peerLabels, perPeer},
	{"culvert_redirected_bytes_total", Counter, "Bytes of them.", peerLabels, perPeer},
	{"culvert_reassembled_packets_total", Counter, "Datagrams for a peer's ports that came in fragments and were sent on to it; not among those above.", peerLabels, perPeer},
	{"culvert_redirect_misses_total", Counter, "Packets that another host redirected to this one and that belong to no flow here, dropped: the hosts' maps differ, or they are late.", tenantLabels, perTenant},
}

var gatewayFamilies = []Family{
	{"culvert_nat_ports", Gauge, "Ports of a public address that a claimant of this host has for new flows.", claimLabels, perClaim},
	{"culvert_nat_ports_used", Gauge, "How many of them have a flow; nothing is told of protocols without any.", useLabels, perProtocol},
	{"culvert_nat_retired_ports", Gauge, "Ports that a claimant of this host has given up and still answers for; nothing if there are none.", claimLabels, perClaim},
	{"culvert_nat_retired_ports_used", Gauge, "How many of them have a flow: at 0 they can be released and nothing is lost.", useLabels, perProtocol},
	{"culvert_nat_flows", Gauge, "Flows that are translated to any of these ports; towards different destinations they may share one.", useLabels, perProtocol},
	{"culvert_nat_refused_packets_total", Counter, "Packets of new flows that found no free port and were refused (the counter exhausted); also among culvert_dropped_packets_total.", tenantLabels, perTenant},
}

var balancerFamilies = []Family{
	{"culvert_balancer_connections_total", Counter, "Connections that a listener has taken on this node.", listenerLabels, perListener},
	{"culvert_balancer_packets_total", Counter, "Packets of clients that a listener has taken on this node. Answers do not pass.", listenerLabels, perListener},
	{"culvert_balancer_bytes_total", Counter, "Bytes of them.", listenerLabels, perListener},
	{"culvert_balancer_backend_connections_total", Counter, "Connections that this node has given to a backend.", backendLabels, perBackend},
	{"culvert_balancer_backend_packets_total", Counter, "Packets that this node has sent to a backend.", backendLabels, perBackend},
	{"culvert_balancer_backend_bytes_total", Counter, "Bytes of them.", backendLabels, perBackend},
	{"culvert_balancer_backend_active_connections", Gauge, "Connections with a backend now, those that other nodes told of included; UDP has none.", backendLabels, perBackend},
	{"culvert_balancer_backend_inactive_connections", Gauge, "Connections that are opening or closing, and flows of UDP.", backendLabels, perBackend},
	{"culvert_balancer_backend_weight", Gauge, "The weight that the kernel has for a backend: 0 if it gets no new connections.", backendLabels, perBackend},
	{"culvert_balancer_asked_packets_total", Counter, "Packets in the middle of a connection that this node did not know and handed to the others.", tenantLabels, perTenant},
	{"culvert_balancer_backend_state", Gauge, "1 for the state that a backend is in: serving, draining, sick (fails its health check), lost (nothing is heard of its host) or down (its host is); 0 for the others.", []string{"tenant", "balancer", "backend", "state"}, "backends times 5, on a host that balances"},
	{"culvert_balancer_backend_healthy", Gauge, "Of backends that this host runs and probes: 1 if it passes its health check, 0 if it is sick. With a fleet in files, too, where nodes do not hear of it.", []string{"tenant", "balancer", "backend"}, "backends with a health check, on the host that runs them"},
}
