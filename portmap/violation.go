package portmap

import "fmt"

// Invariant names what must hold of a lock.
type Invariant string

// The invariants.
const (
	HostIDs        Invariant = "host-id"          // every host has one, nobody else, unique and in range
	BackendNumbers Invariant = "backend-number"   // every backend has one, nobody else, unique, in range, not handed out again
	BlockShape     Invariant = "block-shape"      // IPv4, in FirstPort-LastPort, aligned to Granule at both ends
	OneOwner       Invariant = "one-owner"        // a port is in at most one block, active or retired, of any tenant
	OneTenant      Invariant = "one-tenant"       // a public address is used by one tenant only
	TenantAddress  Invariant = "tenant-address"   // blocks lie on addresses of the tenant's NAT gateway
	OneAddress     Invariant = "one-address"      // the active blocks of a claimant lie on one address
	Pieces         Invariant = "pieces"           // a claimant has at most Slots active blocks
	Promise        Invariant = "promise"          // active blocks add up to what the claimant is promised
	Existing       Invariant = "existing"         // claims are of claimants that exist
	ClaimOrder     Invariant = "claim-order"      // claims are sorted, one per claimant
	NotYet         Invariant = "not-yet"          // a block that was given up is nobody's until that is settled
	FreeListeners  Invariant = "listener-is-free" // no block covers the port of a listener
)

// Holder is a claimant of a tenant.
type Holder struct {
	Tenant   string
	Claimant Claimant
}

// String prints the holder, as in "host hv1 of tenant acme".
func (h Holder) String() string { return fmt.Sprintf("%s of tenant %s", h.Claimant, h.Tenant) }

// Violation is a counter-example: what shows that an invariant does not hold.
type Violation struct {
	Invariant Invariant
	// Holders are the claimants concerned: none, one, or two that clash.
	Holders []Holder
	// Block is the block concerned, or the ports on which two blocks overlap; zero if the violation is not about
	// ports.
	Block Block
	// Detail is the counter-example in words.
	Detail string
}

// Error names the invariant and gives the counter-example.
func (v *Violation) Error() string { return fmt.Sprintf("%s: %s", v.Invariant, v.Detail) }
