package portmap

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
)

// Pending says that a virtual IP or a load balancer comes where ports were given up that hosts may still use.
type Pending struct {
	Tenant string
	What   string // that comes, such as "load balancer web"
	Freed  Freed
	Owner  string // the tenant that had the block
}

// Error names who waits for what, and the remedy.
func (p *Pending) Error() string {
	return fmt.Sprintf("tenant %s: %s comes to %s, where %s of tenant %s gave up ports %s and may still use them; leave it out, carry that out on all hosts, and "+
		"add it then (culvert status --fleet shows who has; with files, apply everywhere first)",
		p.Tenant, p.What, p.Freed.Block.Address, p.Freed.Claimant, p.Owner, p.Freed.Block.Ports())
}

// use is what of a public IPv4 address a tenant uses otherwise than for NAT.
type use struct {
	tenant, what string
	addr         netip.Addr
	port         uint16 // of a listener, 0 for all
	interfaces   []string
}

// uses lists them in the order of the fleet.
func uses(fleet *config.Fleet) []use {
	var out []use
	for i := range fleet.Tenants {
		t := &fleet.Tenants[i]
		for _, vip := range t.VirtualIPs {
			for _, a := range vip.Addresses {
				if a.Is4() {
					out = append(out, use{t.Name, "virtual IP " + a.String(), a, 0, []string{vip.Interface}})
				}
			}
		}
		for _, lb := range t.LoadBalancers {
			if !lb.Address.Is4() {
				continue
			}
			var backends []string
			for _, b := range lb.Backends {
				backends = append(backends, b.Interface)
			}
			for _, l := range lb.Listeners {
				out = append(out, use{t.Name, fmt.Sprintf("load balancer %s, port %d,", lb.Name, l.Port), lb.Address, l.Port, backends})
			}
		}
	}
	return out
}

// touches reports whether a block that a tenant gave up is in the way. Another tenant's is on all of its address.
func (u use) touches(owner string, b Block) bool {
	return u.addr == b.Address && (u.port == 0 || u.tenant != owner || b.Contains(u.addr, u.port))
}

// owned is a freed block and the tenant that had it.
type owned struct {
	owner string
	Freed
}

// freedAt are the freed blocks of all tenants, by address.
func (l *Lock) freedAt() map[netip.Addr][]owned {
	at := make(map[netip.Addr][]owned)
	for _, name := range slices.Sorted(maps.Keys(l.Tenants)) {
		for _, f := range l.Tenants[name].Freed {
			at[f.Block.Address] = append(at[f.Block.Address], owned{name, f})
		}
	}
	return at
}

// pending reports what would use given-up ports.
func (l *Lock) pending(fleet *config.Fleet) error {
	at := l.freedAt()
	if len(at) == 0 {
		return nil
	}
	var errs []error
	for _, u := range uses(fleet) {
		if i := slices.IndexFunc(at[u.addr], func(f owned) bool { return u.touches(f.owner, f.Block) }); i >= 0 {
			errs = append(errs, &Pending{u.tenant, u.what, at[u.addr][i].Freed, at[u.addr][i].owner})
		}
	}
	return errors.Join(errs...)
}
