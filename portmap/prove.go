package portmap

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
)

// maxViolations is how many counter-examples a proof looks for.
const maxViolations = 20

// Prove checks every [Invariant] of the lock for the fleet. It returns nil, or up to 20 counter-examples, each a
// [*Violation]. It shares nothing with [Allocate] but the types: it sorts all blocks and sweeps over them.
func Prove(lock *Lock, fleet *config.Fleet) error {
	p := &proof{lock: lock, fleet: fleet}
	p.hostIDs()
	p.backendNumbers()
	p.addresses()
	for i := range fleet.Tenants {
		p.claims(&fleet.Tenants[i])
	}
	p.strangers()
	p.sweep()
	p.freed()
	p.otherUses()
	p.listeners()
	return errors.Join(p.found...)
}

// proof collects blocks and counter-examples.
type proof struct {
	lock  *Lock
	fleet *config.Fleet
	spans []span
	names []string // of the tenants that spans refer to
	found []error
}

func (p *proof) violated(v Violation) {
	if len(p.found) < maxViolations {
		p.found = append(p.found, &v)
	}
}

func (p *proof) hostIDs() {
	say := func(format string, args ...any) {
		p.violated(Violation{Invariant: HostIDs, Detail: fmt.Sprintf(format, args...)})
	}
	limit := HostID(Limit(p.fleet.Overlay))
	known := make(map[string]bool, len(p.fleet.Hosts))
	owner := make(map[HostID]string, len(p.fleet.Hosts))
	for _, h := range p.fleet.Hosts {
		known[h.Name] = true
		id, ok := p.lock.Hosts[h.Name]
		if !ok {
			say("host %s has no id", h.Name)
			continue
		}
		if id < 1 || id > limit {
			say("id %d of host %s is not in 1-%d", id, h.Name, limit)
		}
		if other, taken := owner[id]; taken {
			say("id %d belongs to host %s and host %s", id, other, h.Name)
		}
		owner[id] = h.Name
	}
	if len(p.lock.Hosts) == len(known) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.lock.Hosts)) {
		if !known[name] {
			say("host %s has id %d but is not in the fleet", name, p.lock.Hosts[name])
		}
	}
}

func (p *proof) backendNumbers() {
	say := func(format string, args ...any) {
		p.violated(Violation{Invariant: BackendNumbers, Detail: fmt.Sprintf(format, args...)})
	}
	limit := Limit(p.fleet.Overlay)
	declared := map[[2]string]bool{}
	for _, t := range p.fleet.Tenants {
		for _, lb := range t.LoadBalancers {
			for _, be := range lb.Backends {
				declared[[2]string{t.Name, BackendKey(lb.Name, be.Interface)}] = true
			}
		}
	}
	owner := map[uint32][2]string{}
	for _, tenant := range slices.Sorted(maps.Keys(p.lock.Tenants)) {
		numbers := p.lock.Tenants[tenant].Backends
		if n := p.lock.Tenants[tenant].LastBackend; n >= p.lock.NextBackend {
			say("number %d of a former backend of tenant %s will be handed out again, the next is %d", n, tenant, p.lock.NextBackend)
		}
		for _, key := range slices.Sorted(maps.Keys(numbers)) {
			n, be := numbers[key], [2]string{tenant, key}
			switch other, taken := owner[n]; {
			case !declared[be]:
				say("backend %s of tenant %s has number %d but is not in the fleet", key, tenant, n)
			case n < 1 || n > limit:
				say("number %d of backend %s of tenant %s is not in 1-%d", n, key, tenant, limit)
			case n >= p.lock.NextBackend:
				say("number %d of backend %s of tenant %s will be handed out again, the next is %d", n, key, tenant, p.lock.NextBackend)
			case taken:
				say("number %d belongs to backend %s of tenant %s and backend %s of tenant %s", n, other[1], other[0], key, tenant)
			}
			owner[n] = be
			delete(declared, be)
		}
	}
	byName := func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }
	for _, be := range slices.SortedFunc(maps.Keys(declared), byName) {
		say("backend %s of tenant %s has no number", be[1], be[0])
	}
}

// addresses checks that no public address of the fleet is declared by two tenants.
func (p *proof) addresses() {
	owner := make(map[netip.Addr]string, len(p.fleet.Tenants))
	for i := range p.fleet.Tenants {
		t := &p.fleet.Tenants[i]
		for addr := range publicAddresses(t) {
			if other, taken := owner[addr]; taken && other != t.Name {
				p.violated(Violation{Invariant: OneTenant, Block: Block{Address: addr},
					Detail: fmt.Sprintf("%s belongs to tenant %s and tenant %s", addr, other, t.Name)})
			}
			owner[addr] = t.Name
		}
	}
}
