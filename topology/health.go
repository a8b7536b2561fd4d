package topology

import (
	"fmt"
	"slices"
	"strings"
)

// BackendID names a backend in the fleet.
type BackendID struct{ Tenant, Balancer, Interface string }

// String is the name as operators write it: "acme/web/vm-a".
func (id BackendID) String() string { return id.Tenant + "/" + id.Balancer + "/" + id.Interface }

// MarshalText writes the name for programs.
func (id BackendID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *BackendID) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "/")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return fmt.Errorf("%q does not name a backend; want TENANT/BALANCER/INTERFACE", text)
	}
	*id = BackendID{parts[0], parts[1], parts[2]}
	return nil
}

// Judge returns the tenant with what health checks have found: sick tells whether the host that runs a backend says that it
// fails its load balancer's check. When fewer than the panic threshold of a load balancer's backends are healthy, more is wrong
// than single backends, the network of the probes perhaps, and none of them counts as sick. Backends of hosts that are down or
// lost are not counted, they get nothing anyway.
func (t Tenant) Judge(sick func(host string, id BackendID) bool) Tenant {
	t.Balancers = slices.Clone(t.Balancers)
	for i := range t.Balancers {
		b := &t.Balancers[i]
		b.Backends = slices.Clone(b.Backends)
		b.judge(func(backend Backend) bool {
			return b.HealthCheck != nil && sick(backend.Peer.Host, BackendID{t.Name, b.Name, backend.Interface})
		})
	}
	return t
}

// judge decides which of the backends count as sick.
func (b *Balancer) judge(sick func(Backend) bool) {
	all, healthy := 0, 0
	for i := range b.Backends {
		backend := &b.Backends[i]
		backend.Sick = !backend.Down && !backend.Lost && sick(*backend)
		if backend.Down || backend.Lost {
			continue
		}
		all++
		if !backend.Sick {
			healthy++
		}
	}
	if b.HealthCheck != nil && healthy*100 < all*b.HealthCheck.PanicThreshold {
		for i := range b.Backends {
			b.Backends[i].Sick = false
		}
	}
}

// loseBackends marks those that nothing is heard of. If that is so of all, all go on: it is more likely that the way by which
// hosts are heard is broken.
func (b *Balancer) loseBackends() {
	heard := func(b Backend) bool { return !b.Down && !b.Peer.Lost }
	if !slices.ContainsFunc(b.Backends, heard) {
		return
	}
	for i := range b.Backends {
		b.Backends[i].Lost = !b.Backends[i].Down && b.Backends[i].Peer.Lost
	}
}
