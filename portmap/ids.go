package portmap

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/culvertnet/culvert/config"
)

// BackendKey names a backend within its tenant, as in [Tenant].Backends.
func BackendKey(balancer, iface string) string { return balancer + "/" + iface }

// Limit returns the highest host id, which is the highest backend number too, that both overlay prefixes have an
// address for: hosts take the lower half and backends the upper half of a prefix, and 0 is not used. 100.64.0.0/10
// gives 2097151, and no prefix more than 2147483647. A prefix that is not set does not bound.
func Limit(overlay config.Overlay) uint32 {
	return min(half(overlay.IPv4), half(overlay.IPv6))
}

func half(p netip.Prefix) uint32 {
	if !p.IsValid() {
		return math.MaxInt32
	}
	bits := p.Addr().BitLen() - p.Bits() - 1
	if bits >= 31 {
		return math.MaxInt32
	}
	if bits < 0 {
		return 0
	}
	return 1<<bits - 1
}

// widen is the remedy for a prefix that is too small.
func widen(o config.Overlay) string {
	if half(o.IPv6) < half(o.IPv4) {
		return fmt.Sprintf("widen overlay.ipv6, now %s", o.IPv6)
	}
	return fmt.Sprintf("widen overlay.ipv4, now %s", o.IPv4)
}

// numberHosts gives every host of the fleet an id. Hosts that have one keep it.
func numberHosts(lock, old *Lock, fleet *config.Fleet) error {
	limit := HostID(Limit(fleet.Overlay))
	used := make(map[HostID]bool, len(fleet.Hosts))
	var errs []error
	for _, h := range fleet.Hosts {
		id, ok := old.Hosts[h.Name]
		if !ok {
			continue
		}
		if id > limit {
			errs = append(errs, fmt.Errorf("host %s has id %d but the overlay holds %d hosts; %s", h.Name, id, limit, widen(fleet.Overlay)))
		}
		lock.Hosts[h.Name] = id
		used[id] = true
	}
	if len(fleet.Hosts) > int(limit) {
		return errors.Join(append(errs, fmt.Errorf("the fleet has %d hosts but the overlay holds %d; %s", len(fleet.Hosts), limit, widen(fleet.Overlay)))...)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	next := max(old.NextHost, 1)
	for _, h := range fleet.Hosts {
		if _, ok := lock.Hosts[h.Name]; ok {
			continue
		}
		for next > limit || used[next] {
			if next++; next > limit {
				next = 1
			}
		}
		lock.Hosts[h.Name] = next
		used[next] = true
		next++
	}
	lock.NextHost = next
	return nil
}

// numberBackends gives every backend of the fleet a number, new ones in the order written.
func numberBackends(lock, old *Lock, fleet *config.Fleet) error {
	next := max(old.NextBackend, 1)
	for _, t := range old.Tenants {
		next = max(next, t.Numbered()+1)
	}
	limit := Limit(fleet.Overlay)
	missing := 0
	for i := range fleet.Tenants {
		t := &fleet.Tenants[i]
		numbers := map[string]uint32(nil)
		for _, lb := range t.LoadBalancers {
			for _, be := range lb.Backends {
				key := BackendKey(lb.Name, be.Interface)
				n, ok := old.backend(t.Name, key)
				if !ok {
					if next > limit {
						missing++
						continue
					}
					n = next
					next++
				}
				if numbers == nil {
					numbers = map[string]uint32{}
				}
				numbers[key] = n
			}
		}
		if numbers != nil {
			lock.tenant(t.Name).Backends = numbers
		}
		// The address of a load balancer may be used on without one of its backends; without load balancers, nothing asks.
		if last := old.Tenants[t.Name].Numbered(); len(t.LoadBalancers) > 0 && last > lock.Tenants[t.Name].Numbered() {
			lock.tenant(t.Name).LastBackend = last
		}
	}
	lock.NextBackend = next
	if missing > 0 {
		return fmt.Errorf("%d new load-balancer backends have no number left: numbers are never used again and the overlay holds %d; %s",
			missing, limit, widen(fleet.Overlay))
	}
	return nil
}

func (l *Lock) backend(tenant, key string) (uint32, bool) {
	t := l.Tenants[tenant]
	if t == nil {
		return 0, false
	}
	n, ok := t.Backends[key]
	return n, ok
}

// tenant returns the tenant's part of the lock, and makes it first if need be.
func (l *Lock) tenant(name string) *Tenant {
	t := l.Tenants[name]
	if t == nil {
		t = &Tenant{}
		l.Tenants[name] = t
	}
	return t
}
