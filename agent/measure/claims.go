package measure

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/conntrack"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// numbers are IP's of the protocols.
var numbers = map[uint8]Protocol{unix.IPPROTO_TCP: TCP, unix.IPPROTO_UDP: UDP, unix.IPPROTO_ICMP: ICMP, unix.IPPROTO_SCTP: SCTP}

// readClaims reads what the host's claimants of the tenant used. A namespace without any entry is not asked for them.
func (into *Tenant) readClaims(ns *netns.NS, t *topology.Tenant, locked *portmap.Tenant) error {
	claims, ledgers := openClaims(t, locked)
	into.Claims = claims
	if into.Entries == 0 || len(claims) == 0 {
		return nil
	}
	err := conntrack.Translated(ns, func(f conntrack.Flow) {
		if l := ledgers[f.Public.Addr()]; l != nil {
			l.enter(numbers[f.Protocol], f.Public.Port())
		}
	})
	for i := range claims {
		claims[i].settle(ledgers[claims[i].Address], locked)
	}
	into.Fill = make(map[netip.Addr]*[Granules]uint8, len(ledgers))
	for a, l := range ledgers {
		into.Fill[a] = l.fill()
	}
	return err
}

// openClaims lists what the host's claimants have, unused, and makes a ledger for each of their addresses.
func openClaims(t *topology.Tenant, locked *portmap.Tenant) ([]Claim, map[netip.Addr]*ledger) {
	ledgers := make(map[netip.Addr]*ledger)
	var out []Claim
	if locked == nil {
		return nil, nil
	}
	for _, c := range locked.Claims {
		if !own(t, c.Claimant) {
			continue
		}
		first := len(out)
		at := func(a netip.Addr) *Claim {
			i := slices.IndexFunc(out[first:], func(c Claim) bool { return c.Address == a })
			if i < 0 {
				i = len(out) - first
				out = append(out, Claim{Claimant: c.Claimant, Address: a})
				if ledgers[a] == nil {
					ledgers[a] = &ledger{}
				}
			}
			return &out[first+i]
		}
		for _, b := range c.Blocks {
			at(b.Address).Ports += b.Size()
		}
		for _, b := range c.Retired {
			at(b.Address).Retired += b.Size()
		}
	}
	slices.SortStableFunc(out, func(a, b Claim) int { return cmp.Or(a.Claimant.Compare(b.Claimant), a.Address.Compare(b.Address)) })
	return out, ledgers
}

// own reports whether the claimant is this host, or an interface on it.
func own(t *topology.Tenant, c portmap.Claimant) bool {
	if c.Host != "" {
		return c.Host == t.Self.Host
	}
	for _, i := range t.Interfaces {
		if i.Name == c.Interface {
			return true
		}
	}
	return false
}

// settle fills in what was used of the claim's blocks.
func (c *Claim) settle(l *ledger, locked *portmap.Tenant) {
	claim, _ := locked.Claim(c.Claimant)
	c.Used = make(map[Protocol]Use)
	for p, pages := range l.pages {
		var u Use
		count := func(blocks []portmap.Block, ports *int) {
			for _, b := range blocks {
				if b.Address == c.Address {
					n, flows := pages.count(b)
					*ports += n
					u.Flows += flows
				}
			}
		}
		count(claim.Blocks, &u.Ports)
		count(claim.Retired, &u.Retired)
		if u != (Use{}) {
			c.Used[p] = u
		}
	}
}

// ledger is what is used of one address.
type ledger struct {
	pages map[Protocol]*page
}

// page has a bit for each port, and the number of flows of each granule.
type page struct {
	ports [Granules]uint64 // a granule's bits are one word
	flows [Granules]uint32
}

func (l *ledger) enter(p Protocol, port uint16) {
	if p == "" {
		return // what has no ports is not translated by blocks
	}
	if l.pages == nil {
		l.pages = make(map[Protocol]*page)
	}
	if l.pages[p] == nil {
		l.pages[p] = &page{}
	}
	g := port / portmap.Granule
	l.pages[p].ports[g] |= 1 << (port % portmap.Granule)
	l.pages[p].flows[g]++
}

// fill is how many ports of each granule the protocol uses that uses most.
func (l *ledger) fill() *[Granules]uint8 {
	out := new([Granules]uint8)
	for _, p := range l.pages {
		for g, ports := range p.ports {
			out[g] = max(out[g], uint8(bits.OnesCount64(ports)))
		}
	}
	return out
}

// count returns how many ports of a block are used, and by how many flows. Blocks are made of whole granules.
func (p *page) count(b portmap.Block) (ports, flows int) {
	for g := int(b.First) / portmap.Granule; g <= int(b.Last)/portmap.Granule; g++ {
		ports += bits.OnesCount64(p.ports[g])
		flows += int(p.flows[g])
	}
	return ports, flows
}
