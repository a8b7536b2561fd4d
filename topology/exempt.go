package topology

import (
	"net/netip"

	"github.com/culvertnet/culvert/config"
)

// Untranslated are the private addresses that an edge's own namespace must know: those that send to exempt destinations, and
// get their answers. None without such destinations.
func (n *NAT) Untranslated() []netip.Addr {
	if len(n.Exempt) == 0 {
		return nil
	}
	var out []netip.Addr
	for _, s := range n.Sources {
		out = append(out, s.Address)
	}
	for _, e := range n.Exempted {
		out = append(out, e.Address)
	}
	return out
}

// exempted are the sources of other hosts that are up.
func (b *builder) exempted(t *config.Tenant, self Tenant, bound map[netip.Addr]bool, holders map[string]*Peer) []Remote {
	if !self.Edge || len(t.NATGateway.Exempt) == 0 {
		return nil
	}
	var out []Remote
	for _, i := range t.Interfaces {
		if i.Host == self.Self.Host || !b.up[i.Host] {
			continue
		}
		for _, a := range i.Addresses {
			if a.Is4() && !bound[a] {
				out = append(out, Remote{Address: a, Peer: *holders[i.Host]})
			}
		}
	}
	return out
}
