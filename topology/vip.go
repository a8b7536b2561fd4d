package topology

import (
	"net/netip"

	"github.com/culvertnet/culvert/config"
)

// VIP is a public address that stands for one private address, in both directions and with all its ports.
type VIP struct {
	Public, Private netip.Addr
	// Peer is the host that runs the interface; Local is true if that is this one.
	Peer  Peer
	Local bool
	// Down is true if the host that runs the interface is down: nobody answers for the VIP.
	Down bool
	// Shared is true if the private address has other VIPs too: its replies must remember which one was asked.
	Shared bool
}

// Publics are the tenant's public addresses of one family, each once: those of the NAT gateway, then the VIPs, then those of
// load balancers alone, in the fleet's order.
func (t Tenant) Publics(is4 bool) []netip.Addr {
	var out []netip.Addr
	if t.NAT != nil && is4 {
		out = append(out, t.NAT.Addresses...)
	}
	for _, v := range t.VIPs {
		if v.Public.Is4() == is4 {
			out = append(out, v.Public)
		}
	}
	return append(out, t.Balanced(is4)...)
}

// vips binds the tenant's virtual IPs to private addresses.
func (b *builder) vips(t *config.Tenant, self string, holders map[string]*Peer) []VIP {
	nics := make(map[string]config.Interface, len(t.Interfaces))
	for _, i := range t.Interfaces {
		nics[i.Name] = i
	}
	taken := make(map[netip.Addr]int)
	var out []VIP
	for _, entry := range t.VirtualIPs {
		nic := nics[entry.Interface]
		for _, public := range entry.Addresses {
			private := choose(nic.Addresses, public.Is4(), taken)
			taken[private]++
			local := nic.Host == self
			out = append(out, VIP{
				Public: public, Private: private, Peer: *holders[nic.Host], Local: local, Down: !local && !b.up[nic.Host],
			})
		}
	}
	for i := range out {
		out[i].Shared = taken[out[i].Private] > 1
	}
	return out
}

// choose is the first address of the family that has no VIP yet, else the first of the family.
func choose(addresses []netip.Addr, is4 bool, taken map[netip.Addr]int) netip.Addr {
	var first netip.Addr
	for _, a := range addresses {
		if a.Is4() != is4 {
			continue
		}
		if taken[a] == 0 {
			return a
		}
		if !first.IsValid() {
			first = a
		}
	}
	return first
}
