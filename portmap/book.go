package portmap

import (
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
)

// book keeps what is taken of a tenant's addresses while its claims are settled.
type book struct {
	tenant *config.Tenant
	want   int // granules that every claimant is promised
	addrs  []netip.Addr
	taken  []granules // of the address with the same index
	index  map[netip.Addr]int
	// listeners holds the granules that are kept for listeners, nil if there are none; clash is set when an old
	// block covers one.
	listeners []granules
	clash     bool
	// whole and pieces are where the search for a gap, and for room in pieces, goes on: what lies before has none,
	// because every search of a tenant wants the same amount and ports are only taken.
	whole  place
	pieces int
	runs   []run
	held   int // ports that were given up and cannot be handed out yet
}

// place is a granule of an address.
type place struct{ addr, granule int }

func newBook(t *config.Tenant, want int) *book {
	b := &book{tenant: t, want: want, addrs: t.NATGateway.Addresses}
	b.taken = make([]granules, len(b.addrs))
	b.index = make(map[netip.Addr]int, len(b.addrs))
	for i, a := range b.addrs {
		b.taken[i] = systemPorts()
		b.index[a] = i
	}
	b.keepListeners()
	return b
}

// hold marks what is not to be handed out yet.
func (b *book) hold(held map[netip.Addr][]Block) {
	for i, a := range b.addrs {
		for _, bl := range held[a] {
			b.taken[i].add(bl.run())
			b.held += bl.Size()
		}
	}
}

// adopt hands the old claims to the promised claimants that had them, and returns those of claimants which are
// promised nothing but still exist, all retired. Blocks of addresses that left are dropped.
func (b *book) adopt(promised, before []Claim, hosts []string) []Claim {
	if len(before) == 0 {
		return nil
	}
	at := make(map[Claimant]int, len(promised))
	for i := range promised {
		at[promised[i].Claimant] = i
	}
	exists := b.bystanders(promised, hosts)
	var leftover []Claim
	for _, c := range before {
		i, ok := at[c.Claimant]
		if !ok && !exists[c.Claimant] {
			// Given up with this step, so for the next one.
			b.held += ports(b.take(c.Blocks)) + ports(b.take(c.Retired))
			continue
		}
		blocks, retired := b.take(c.Blocks), b.take(c.Retired)
		switch {
		case ok:
			promised[i].Blocks, promised[i].Retired = blocks, retired
		case len(blocks)+len(retired) > 0:
			leftover = append(leftover, Claim{Claimant: c.Claimant, Retired: merge(blocks, retired)})
		}
	}
	return leftover
}

// bystanders returns the claimants that exist but are promised nothing: interfaces when hosts are, and the other way
// round.
func (b *book) bystanders(promised []Claim, hosts []string) map[Claimant]bool {
	if len(promised) == 0 {
		return nil
	}
	if promised[0].Claimant.Host == "" {
		set := make(map[Claimant]bool, len(hosts))
		for _, h := range hosts {
			set[Claimant{Host: h}] = true
		}
		return set
	}
	set := make(map[Claimant]bool, len(b.tenant.Interfaces))
	for i := range b.tenant.Interfaces {
		set[Claimant{Interface: b.tenant.Interfaces[i].Name}] = true
	}
	return set
}

// take marks the blocks as taken and returns those whose address the tenant still has.
func (b *book) take(blocks []Block) []Block {
	routed := func(bl Block) bool { _, ok := b.index[bl.Address]; return ok }
	if !all(blocks, routed) {
		blocks = slices.DeleteFunc(slices.Clone(blocks), func(bl Block) bool { return !routed(bl) })
	}
	for _, bl := range blocks {
		at := b.index[bl.Address]
		b.taken[at].add(bl.run())
		if b.listeners != nil && b.listeners[at].touches(bl.run()) {
			b.clash = true
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	return blocks
}

func all(blocks []Block, f func(Block) bool) bool {
	for _, bl := range blocks {
		if !f(bl) {
			return false
		}
	}
	return true
}
