package portmap

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
)

// publicAddresses yields every public address that the tenant declares, some more than once.
func publicAddresses(t *config.Tenant) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		var addrs []netip.Addr
		if t.NATGateway != nil {
			addrs = append(addrs, t.NATGateway.Addresses...)
		}
		for _, v := range t.VirtualIPs {
			addrs = append(addrs, v.Addresses...)
		}
		for _, lb := range t.LoadBalancers {
			addrs = append(addrs, lb.Address)
		}
		for _, a := range addrs {
			if !yield(a) {
				return
			}
		}
	}
}

// claimants are those of one tenant.
type claimants map[Claimant]state

// state says how many ports a claimant is promised, 0 if it merely exists, and whether it has a claim.
type state struct {
	promised int
	claims   bool
}

func claimantsOf(t *config.Tenant) claimants {
	perHost, perInterface := 0, 0
	if t.NATGateway != nil {
		perHost, perInterface = t.NATGateway.PortsPerHost, t.NATGateway.PortsPerInterface
	}
	set := make(claimants, len(t.Interfaces))
	for i := range t.Interfaces {
		set[Claimant{Host: t.Interfaces[i].Host}] = state{promised: perHost}
		set[Claimant{Interface: t.Interfaces[i].Name}] = state{promised: perInterface}
	}
	return set
}

// claims checks the tenant's claims one by one and collects their blocks.
func (p *proof) claims(t *config.Tenant) {
	var claims []Claim
	if lt := p.lock.Tenants[t.Name]; lt != nil {
		claims = lt.Claims
	}
	if len(claims) == 0 && t.NATGateway == nil {
		return
	}
	var addrs map[netip.Addr]bool
	if t.NATGateway != nil {
		addrs = make(map[netip.Addr]bool, len(t.NATGateway.Addresses))
		for _, a := range t.NATGateway.Addresses {
			addrs[a] = true
		}
	}
	known := claimantsOf(t)
	tenant := int32(len(p.names))
	p.names = append(p.names, t.Name)
	for i := range claims {
		c := &claims[i]
		who := Holder{t.Name, c.Claimant}
		s, exists := known[c.Claimant]
		if i > 0 && claims[i-1].Claimant.Compare(c.Claimant) >= 0 {
			p.about(ClaimOrder, who, Block{}, "%s follows %s", c.Claimant, claims[i-1].Claimant)
		}
		if exists {
			known[c.Claimant] = state{s.promised, true}
		} else {
			p.about(Existing, who, Block{}, "%s has blocks but does not exist", who)
		}
		p.active(who, c.Blocks, s.promised)
		for j, b := range slices.Concat(c.Blocks, c.Retired) {
			if !addrs[b.Address] {
				p.about(TenantAddress, who, b, "%s has %s, which is not an address of the tenant's NAT gateway", who, b)
			}
			p.collect(who, b, tenant, int32(i), j >= len(c.Blocks))
		}
	}
	p.without(t.Name, known)
}

// without finds claimants that are promised ports but have no claim.
func (p *proof) without(tenant string, known claimants) {
	var poor []Claimant
	for c, s := range known {
		if s.promised > 0 && !s.claims {
			poor = append(poor, c)
		}
	}
	slices.SortFunc(poor, Claimant.Compare)
	for _, c := range poor {
		who := Holder{tenant, c}
		p.about(Promise, who, Block{}, "%s is promised %d ports and has none", who, known[c].promised)
	}
}

// active checks the blocks that take new flows.
func (p *proof) active(who Holder, blocks []Block, promised int) {
	sum := 0
	for _, b := range blocks {
		sum += b.Size()
		if b.Address != blocks[0].Address {
			p.about(OneAddress, who, b, "%s has %s and %s", who, blocks[0], b)
		}
	}
	if sum != promised {
		p.about(Promise, who, Block{}, "%s is promised %d ports and has %d", who, promised, sum)
	}
	if len(blocks) > Slots {
		p.about(Pieces, who, Block{}, "%s has %d blocks, more than the %d slots", who, len(blocks), Slots)
	}
}

func (p *proof) about(inv Invariant, who Holder, b Block, format string, args ...any) {
	p.violated(Violation{Invariant: inv, Holders: []Holder{who}, Block: b, Detail: fmt.Sprintf(format, args...)})
}

// strangers finds tenants of the lock that the fleet does not have.
func (p *proof) strangers() {
	known := make(map[string]bool, len(p.fleet.Tenants))
	for i := range p.fleet.Tenants {
		known[p.fleet.Tenants[i].Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(p.lock.Tenants)) {
		if t := p.lock.Tenants[name]; !known[name] && len(t.Claims)+len(t.Backends) > 0 {
			p.violated(Violation{Invariant: Existing, Detail: fmt.Sprintf("tenant %s is in the lock but not in the fleet", name)})
			p.claims(&config.Tenant{Name: name})
		}
	}
}
