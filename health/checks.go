package health

import "github.com/culvertnet/culvert/topology"

// Check is a target and whose health it tells.
type Check struct {
	Backend topology.BackendID
	Target  Target
}

// Checks are the health checks that this host makes for the tenant: those of the backends that run on it.
func Checks(t topology.Tenant) []Check {
	var out []Check
	for _, b := range t.Balancers {
		if b.HealthCheck == nil {
			continue
		}
		port := b.HealthCheck.Port
		if port == 0 && len(b.Listeners) > 0 {
			port = b.Listeners[0].BackendPort
		}
		for _, backend := range b.Backends {
			if backend.Local {
				out = append(out, Check{
					Backend: topology.BackendID{Tenant: t.Name, Balancer: b.Name, Interface: backend.Interface},
					// Without a source, a node would take a load balancer's address, which VMs answer by way of an edge.
					Target: Target{Address: backend.VM, Port: port, Check: *b.HealthCheck, Source: t.Self.Overlay(backend.VM)},
				})
			}
		}
	}
	return out
}
