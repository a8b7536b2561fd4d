package topology

// BackendID names a backend in the fleet.
type BackendID struct{ Tenant, Balancer, Interface string }

// String is the name as operators write it: "acme/web/vm-a".
func (id BackendID) String() string { return id.Tenant + "/" + id.Balancer + "/" + id.Interface }

// Judge takes over what health checks have found: sick says whether a backend fails its load balancer's. When fewer than the
// panic threshold of a load balancer's backends are healthy, more is wrong than single backends, the network of the probes
// perhaps, and none of them counts as sick. Backends of hosts that are down are not counted, they get nothing anyway.
func (h *Host) Judge(sick func(BackendID) bool) {
	for _, t := range h.Tenants {
		for _, b := range t.Balancers {
			if b.HealthCheck == nil {
				continue
			}
			all, healthy := 0, 0
			for i := range b.Backends {
				backend := &b.Backends[i]
				if backend.Down {
					continue
				}
				all++
				backend.Sick = sick(BackendID{t.Name, b.Name, backend.Interface})
				if !backend.Sick {
					healthy++
				}
			}
			if healthy*100 < all*b.HealthCheck.PanicThreshold {
				for i := range b.Backends {
					b.Backends[i].Sick = false
				}
			}
		}
	}
}
