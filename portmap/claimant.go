package portmap

import (
	"cmp"
	"slices"
)

// Claimant is who a block belongs to: exactly one of the two is set. A claimant is named within its tenant.
type Claimant struct {
	Host      string
	Interface string
}

// Compare orders hosts before interfaces, and each by name.
func (c Claimant) Compare(d Claimant) int {
	if (c.Host == "") != (d.Host == "") {
		if c.Host != "" {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(c.Host, d.Host), cmp.Compare(c.Interface, d.Interface))
}

// String prints the claimant with its kind, as in "host hv1" or "interface vm-a".
func (c Claimant) String() string {
	if c.Host != "" {
		return "host " + c.Host
	}
	return "interface " + c.Interface
}

func compareClaims(a, b Claim) int { return a.Claimant.Compare(b.Claimant) }

// findClaim searches claims, which are sorted.
func findClaim(claims []Claim, who Claimant) (int, bool) {
	return slices.BinarySearchFunc(claims, who, func(c Claim, w Claimant) int { return c.Claimant.Compare(w) })
}
