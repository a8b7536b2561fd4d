package portmap

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
)

// share is what a virtual IP or a listener has of a public address.
type share struct {
	tenant  string
	listens bool
	block   Block
}

// Vacate returns a lock in which is given up what virtual IPs and load balancers had in the fleet before and do not have in the next:
// a host that has not heard goes on sending from it. That is the whole address, or a listener's granule if the address is the tenant's
// for NAT. It also reports whether there is any. old stays as it is.
func Vacate(old *Lock, before, fleet *config.Fleet) (*Lock, bool) {
	if before == nil {
		return old, false
	}
	nat := make(map[netip.Addr]string)
	for i := range fleet.Tenants {
		if gateway := fleet.Tenants[i].NATGateway; gateway != nil {
			for _, a := range gateway.Addresses {
				nat[a] = fleet.Tenants[i].Name
			}
		}
	}
	shareOf := func(u use) share {
		if u.port != 0 && nat[u.addr] == u.tenant {
			g := int(u.port) / Granule
			return share{u.tenant, true, run{g, g + 1}.block(u.addr)}
		}
		return share{u.tenant, u.port != 0, Block{u.addr, FirstPort, LastPort}}
	}
	stays := make(map[share]bool)
	for _, u := range uses(fleet) {
		stays[shareOf(u)] = true
	}
	lock := *old
	lock.Tenants = make(map[string]*Tenant, len(old.Tenants))
	maps.Copy(lock.Tenants, old.Tenants)
	vacated := false
	for _, u := range uses(before) {
		s := shareOf(u)
		if stays[s] || s.block.First < FirstPort {
			continue
		}
		for _, nic := range u.interfaces {
			vacated = lock.vacate(u.tenant, Freed{Block: s.block, Claimant: Claimant{Interface: nic}}) || vacated
		}
	}
	return &lock, vacated
}

// vacate adds what was given up to a tenant, unless it is there.
func (l *Lock) vacate(tenant string, f Freed) bool {
	t := &Tenant{}
	if is := l.Tenants[tenant]; is != nil {
		*t = *is
	}
	if slices.Contains(t.Freed, f) {
		return false
	}
	t.Freed = slices.SortedFunc(slices.Values(append(slices.Clone(t.Freed), f)), compareFreed)
	l.Tenants[tenant] = t
	return true
}
