package portmap

import (
	"errors"
	"fmt"
	"net/netip"
)

// keepListeners marks the granules of the ports that load balancers listen on, on addresses of the NAT gateway.
func (b *book) keepListeners() {
	for _, lb := range b.tenant.LoadBalancers {
		at, ok := b.index[lb.Address]
		if !ok {
			continue
		}
		for _, l := range lb.Listeners {
			if l.Port < FirstPort {
				continue
			}
			if b.listeners == nil {
				b.listeners = make([]granules, len(b.addrs))
			}
			g := int(l.Port) / Granule
			b.taken[at].add(run{g, g + 1})
			b.listeners[at].add(run{g, g + 1})
		}
	}
}

// checkListeners reports blocks that cover a listener's port.
func (b *book) checkListeners(claims []Claim) error {
	if !b.clash {
		return nil
	}
	var errs []error
	for _, lb := range b.tenant.LoadBalancers {
		if _, ok := b.index[lb.Address]; !ok {
			continue
		}
		for _, l := range lb.Listeners {
			if l.Port < FirstPort {
				continue
			}
			who, bl, kind := covering(claims, lb.Address, l.Port)
			if kind == "" {
				continue
			}
			err := fmt.Errorf("tenant %s: load balancer %s listens on %s:%d, which lies in the %s block %s of %s; let it listen on a port below %d%s",
				b.tenant.Name, lb.Name, lb.Address, l.Port, kind, bl.Ports(), who, FirstPort, b.freePort(lb.Address))
			if kind == "retired" {
				err = fmt.Errorf("%w, or release the tenant's retired blocks once they have drained", err)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func covering(claims []Claim, addr netip.Addr, port uint16) (who Claimant, bl Block, kind string) {
	for _, c := range claims {
		for _, bl := range c.Blocks {
			if bl.Contains(addr, port) {
				return c.Claimant, bl, "active"
			}
		}
		for _, bl := range c.Retired {
			if bl.Contains(addr, port) {
				return c.Claimant, bl, "retired"
			}
		}
	}
	return Claimant{}, Block{}, ""
}

// freePort names the highest port of the address that a listener could take, for an error's remedy.
func (b *book) freePort(addr netip.Addr) string {
	free := b.taken[b.index[addr]].complement()
	for g := endGranule - 1; g >= firstGranule; g-- {
		if free.has(g) {
			return fmt.Sprintf(" or on a free one such as %d", g*Granule)
		}
	}
	return ""
}
