package portmap

// HostID numbers a host for life, from 1; overlay addresses and router MACs come from it.
type HostID uint32

// Lock is what has been handed out: the content of fleet.lock.yaml.
type Lock struct {
	// Hosts holds the id of every host of the fleet by name.
	Hosts map[string]HostID
	// Tenants holds what each tenant's claimants own, by tenant name.
	Tenants map[string]*Tenant
}

// Tenant is one tenant's part of the lock.
type Tenant struct {
	// Claims are sorted by claimant.
	Claims []Claim
	// Backends holds the creation sequence number of every load-balancer backend, by "balancer/interface".
	// The numbers are unique in the fleet and never used again.
	Backends map[string]uint32
}

// Claimant is who a block belongs to: exactly one of the two is set.
type Claimant struct {
	Host      string
	Interface string
}

// Claim is what one claimant owns. New flows use Blocks, which all lie on one address so that a private address keeps
// one public address (RFC 4787 REQ-2, paired pooling). Retired blocks get no new flows; the claimant goes on
// answering for them, so live flows last, until the operator releases them.
type Claim struct {
	Claimant Claimant
	Blocks   []Block
	Retired  []Block
}
