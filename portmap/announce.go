package portmap

import (
	"maps"

	"github.com/culvertnet/culvert/config"
)

// Announce returns a fleet and a lock to go through on the way from an old pair to the next one where NAT gateways grow, so that
// nobody uses a port before everybody knows whose it is: claimants go on with the ports that they had, and what is new to
// them is retired, which others redirect and nobody uses for new flows. Once every host holds that, the next pair can be
// carried out in any order. ok is false if nothing grows; the next pair needs no step before it, then.
//
// Claimants that are new get ports at once: somebody has to be the first to know.
func Announce(oldFleet *config.Fleet, old *Lock, fleet *config.Fleet, next *Lock) (_ *config.Fleet, _ *Lock, ok bool) {
	gateways := make(map[string]*config.NATGateway, len(oldFleet.Tenants))
	for i := range oldFleet.Tenants {
		gateways[oldFleet.Tenants[i].Name] = oldFleet.Tenants[i].NATGateway
	}
	stepFleet, stepLock := *fleet, *next
	stepFleet.Tenants = append([]config.Tenant(nil), fleet.Tenants...)
	stepLock.Tenants = maps.Clone(next.Tenants)
	for i := range stepFleet.Tenants {
		t := &stepFleet.Tenants[i]
		before := gateways[t.Name]
		if !grows(before, t.NATGateway) || next.Tenants[t.Name] == nil {
			continue
		}
		ports := before.PortsPerHost + before.PortsPerInterface // one of them is 0
		claims, could := announced(old.Tenants[t.Name], next.Tenants[t.Name].Claims, ports)
		if !could {
			continue
		}
		gateway := *t.NATGateway
		gateway.PortsPerHost, gateway.PortsPerInterface = before.PortsPerHost, before.PortsPerInterface
		t.NATGateway = &gateway
		stepLock.Tenants[t.Name] = &Tenant{Claims: claims, Backends: next.Tenants[t.Name].Backends, LastBackend: next.Tenants[t.Name].LastBackend, Freed: next.Tenants[t.Name].Freed}
		ok = true
	}
	return &stepFleet, &stepLock, ok
}

// grows reports whether every claimant of a gateway is promised more than before.
func grows(before, after *config.NATGateway) bool {
	if before == nil || after == nil || (before.PortsPerHost == 0) != (after.PortsPerHost == 0) {
		return false
	}
	return after.PortsPerHost > before.PortsPerHost || after.PortsPerInterface > before.PortsPerInterface
}

// announced turns next claims into those of the step before. It cannot where a claimant does not keep what it has, as when an
// address goes.
func announced(old *Tenant, next []Claim, ports int) ([]Claim, bool) {
	claims := make([]Claim, len(next))
	for i, c := range next {
		claims[i] = c
		if len(c.Blocks) == 0 {
			continue
		}
		was, _ := old.Claim(c.Claimant)
		kept := was.Blocks
		if len(kept) == 0 {
			kept = firstPorts(c.Blocks, ports)
		}
		all, address := merge(c.Blocks, c.Retired), kept[0].Address
		if len(without(kept, address, on(all, address))) > 0 {
			return nil, false
		}
		claims[i].Blocks, claims[i].Retired = kept, without(all, address, on(kept, address))
	}
	return claims, true
}

// firstPorts returns the first ports of the blocks.
func firstPorts(blocks []Block, ports int) []Block {
	var out []Block
	for _, b := range blocks {
		if ports <= 0 {
			break
		}
		if b.Size() > ports {
			b.Last = b.First + uint16(ports) - 1
		}
		ports -= b.Size()
		out = append(out, b)
	}
	return out
}
