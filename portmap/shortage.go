package portmap

import (
	"fmt"
	"net/netip"
	"strings"
)

// Shortage says that a claimant's ports do not fit on any one address of its tenant.
type Shortage struct {
	Tenant   string
	Claimant Claimant
	// Wanted is what the claimant is promised, in ports; Missing is how many of them the best address lacks, 0 if
	// it has enough in more than [Slots] pieces.
	Wanted, Missing int
	// Addresses holds how full each address of the tenant is, in the order written.
	Addresses []Fill
	// Retired is the number of ports that the tenant's retired blocks hold.
	Retired int
	// Held is the number of ports of the tenant's addresses that were given up, by this step too, and cannot be handed out yet.
	Held int
	// Setting is the field of natGateway that promised the ports.
	Setting string
}

// Fill is how full an address is.
type Fill struct {
	Address netip.Addr
	// Taken is the number of ports, 0 to [Capacity], that are in a block or kept for a listener.
	Taken int
}

// Error names who lacks what, and the remedy.
func (s *Shortage) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tenant %s: %s wants %d ports on one address", s.Tenant, s.Claimant, s.Wanted)
	if s.Missing > 0 {
		fmt.Fprintf(&b, ", %d are missing", s.Missing)
	} else {
		fmt.Fprintf(&b, ", the free ones are in more than %d pieces", Slots)
	}
	for i, f := range s.Addresses {
		sep := ", "
		if i == 0 {
			sep = " ("
		}
		fmt.Fprintf(&b, "%s%s has %d of %d taken", sep, f.Address, f.Taken, Capacity)
	}
	if len(s.Addresses) > 0 {
		b.WriteString(")")
	}
	fmt.Fprintf(&b, "; add an address to natGateway.addresses of tenant %s, or lower %s", s.Tenant, s.Setting)
	if s.Retired > 0 {
		fmt.Fprintf(&b, ", or release the tenant's retired blocks (%d ports) once they have drained", s.Retired)
	}
	if s.Held > 0 {
		fmt.Fprintf(&b, ", or hand out what leaves first: %d ports were given up and are free once all hosts know", s.Held)
	}
	return b.String()
}
