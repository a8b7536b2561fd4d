package topology

import (
	"net/netip"
	"slices"
)

// underlays are the underlay addresses of the other hosts that are up, sorted.
func (b *builder) underlays(self netip.Addr) []netip.Addr {
	var out []netip.Addr
	for name, p := range b.peers {
		if b.up[name] && p.Underlay != self {
			out = append(out, p.Underlay)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}
