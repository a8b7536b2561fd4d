package portmap

import (
	"net/netip"
)

// HostID numbers a host for life, from 1; overlay addresses and router MACs come from it.
type HostID uint32

// Lock is what has been handed out: the content of fleet.lock.yaml.
type Lock struct {
	// Hosts holds the id of every host of the fleet by name.
	Hosts map[string]HostID
	// Tenants holds what each tenant's claimants own, by tenant name. A tenant that owns nothing is not in it.
	Tenants map[string]*Tenant
	// NextHost is the id that the next new host gets if nobody has it. It only moves up, and back to 1 when it has
	// passed the last id, so that a left host's id is not used again while its neighbours may still remember it.
	NextHost HostID
	// NextBackend is the number that the next new backend gets. It only moves up.
	NextBackend uint32
}

// NewLock returns a lock in which nothing has been handed out.
func NewLock() *Lock {
	return &Lock{Hosts: map[string]HostID{}, Tenants: map[string]*Tenant{}, NextHost: 1, NextBackend: 1}
}

// Tenant is one tenant's part of the lock.
type Tenant struct {
	// Claims are sorted by claimant.
	Claims []Claim
	// Backends holds the creation sequence number of every load-balancer backend, by "balancer/interface"
	// ([BackendKey]). The numbers are unique in the fleet and never used again.
	Backends map[string]uint32
	// LastBackend is the highest number of a backend that is gone, if it is higher than all in Backends; else 0.
	LastBackend uint32
	// Freed are the blocks that were given up and that nobody can have yet, sorted.
	Freed []Freed
}

// Numbered returns the highest number that a backend of the tenant has or had. A nil tenant never had one.
func (t *Tenant) Numbered() uint32 {
	if t == nil {
		return 0
	}
	last := t.LastBackend
	for _, n := range t.Backends {
		last = max(last, n)
	}
	return last
}

// Owner returns who owns the port of the address, and the block it is in, active or retired. It looks at every
// claim: right for explaining one packet, wrong for a packet path. A nil tenant owns nothing.
func (t *Tenant) Owner(addr netip.Addr, port uint16) (Claimant, Block, bool) {
	if t == nil {
		return Claimant{}, Block{}, false
	}
	for _, c := range t.Claims {
		for _, blocks := range [2][]Block{c.Blocks, c.Retired} {
			for _, b := range blocks {
				if b.Contains(addr, port) {
					return c.Claimant, b, true
				}
			}
		}
	}
	return Claimant{}, Block{}, false
}

// Claim returns what the claimant owns. A nil tenant has no claims.
func (t *Tenant) Claim(who Claimant) (Claim, bool) {
	if t == nil {
		return Claim{}, false
	}
	if i, ok := findClaim(t.Claims, who); ok {
		return t.Claims[i], true
	}
	return Claim{}, false
}

// Claim is what one claimant owns. New flows use Blocks, which all lie on one address so that a private address keeps
// one public address (RFC 4787 REQ-2, paired pooling). Retired blocks get no new flows; the claimant goes on
// answering for them, so live flows last, until the operator releases them.
type Claim struct {
	Claimant Claimant
	// Blocks are in the order in which they were handed out, adjacent ones merged; [Deal] moves the fewest slots
	// because of that order.
	Blocks []Block
	// Retired blocks are sorted by address and first port, adjacent ones merged.
	Retired []Block
}
