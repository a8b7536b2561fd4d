package portmap

import (
	"cmp"
	"errors"
	"slices"
)

// settle gives every claimant what it is promised: first those that have blocks and need no more of them, so that nobody
// else takes the room beside them, then those that need more blocks, then those that have none.
func (b *book) settle(claims []Claim) error {
	var growing, short []*Claim
	for i := range claims {
		c := &claims[i]
		switch have := ports(c.Blocks) / Granule; {
		case have == 0 || have == b.want:
		case have > b.want:
			b.shrink(c)
		case !b.extend(c, len(c.Blocks)):
			growing = append(growing, c)
		}
	}
	for _, c := range growing {
		if !b.extend(c, Slots) && !b.move(c) {
			short = append(short, c)
		}
	}
	for i := range claims {
		if c := &claims[i]; len(c.Blocks) == 0 && !b.move(c) {
			short = append(short, c)
		}
	}
	return b.shortages(claims, short)
}

// shrink retires the claimant's highest granules.
func (b *book) shrink(c *Claim) {
	addr := c.Blocks[0].Address
	have := on(c.Blocks, addr)
	keep := have.lowest(b.want)
	cut := have.minus(keep)
	c.Blocks = arrange(c.Blocks, keep, addr)
	c.Retired = merge(c.Retired, arrange(nil, cut, addr))
}

// extend adds to the claimant's blocks on their address, and reports whether there was room in so many pieces.
func (b *book) extend(c *Claim, pieces int) bool {
	addr := c.Blocks[0].Address
	have := on(c.Blocks, addr)
	set, ok := b.grow(b.index[addr], have, on(c.Retired, addr), b.want-have.count(), pieces)
	if !ok {
		return false
	}
	b.taken[b.index[addr]] = b.taken[b.index[addr]].union(set)
	c.Retired = without(c.Retired, addr, set)
	c.Blocks = arrange(c.Blocks, set, addr)
	return true
}

// move gives the claimant the whole amount on one address and retires what it had. Addresses where it has retired
// blocks come first, then the first gap that holds everything, then the first room in pieces.
func (b *book) move(c *Claim) bool {
	for _, at := range b.formerly(c) {
		addr := b.addrs[at]
		if set, ok := b.grow(at, granules{}, on(c.Retired, addr), b.want, Slots); ok {
			b.taken[at] = b.taken[at].union(set)
			c.Retired = merge(without(c.Retired, addr, set), c.Blocks)
			c.Blocks = arrange(nil, set, addr)
			return true
		}
	}
	blocks := b.gap()
	if blocks == nil {
		blocks = b.scattered()
	}
	if blocks == nil {
		return false
	}
	if len(c.Blocks) > 0 {
		c.Retired = merge(c.Retired, c.Blocks)
	}
	c.Blocks = blocks
	return true
}

// formerly returns the addresses where the claimant has retired blocks but no active ones, the one with most of them
// first.
func (b *book) formerly(c *Claim) []int {
	if len(c.Retired) == 0 {
		return nil
	}
	had := map[int]int{}
	for _, bl := range c.Retired {
		had[b.index[bl.Address]] += bl.Size()
	}
	if len(c.Blocks) > 0 {
		delete(had, b.index[c.Blocks[0].Address])
	}
	order := make([]int, 0, len(had))
	for at := range had {
		order = append(order, at)
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Or(cmp.Compare(had[j], had[i]), cmp.Compare(i, j)) })
	return order
}

// gap takes the first gap that holds everything a claimant wants.
func (b *book) gap() []Block {
	for ; b.whole.addr < len(b.addrs); b.whole = (place{b.whole.addr + 1, 0}) {
		if r, ok := b.taken[b.whole.addr].gap(b.whole.granule, b.want); ok {
			b.taken[b.whole.addr].add(r)
			b.whole.granule = r.end
			return []Block{r.block(b.addrs[b.whole.addr])}
		}
	}
	return nil
}

// scattered takes everything a claimant wants in pieces, on the first address that has it in at most [Slots] of them.
func (b *book) scattered() []Block {
	for ; b.pieces < len(b.addrs); b.pieces++ {
		if set, ok := b.grow(b.pieces, granules{}, granules{}, b.want, Slots); ok {
			b.taken[b.pieces] = b.taken[b.pieces].union(set)
			return arrange(nil, set, b.addrs[b.pieces])
		}
	}
	return nil
}

// grow returns have and need more granules of the address: first own ones, which are the claimant's retired, then
// free ones such that the fewest blocks result. It reports false if there are too few, or if more blocks than pieces result.
func (b *book) grow(at int, have, own granules, need, pieces int) (granules, bool) {
	free := b.taken[at].complement().union(own)
	if free.count() < need {
		return have, false
	}
	back := own.lowest(need)
	set := have.union(back)
	free = free.minus(set)
	for need -= back.count(); need > 0; {
		b.runs = free.runs(b.runs[:0])
		r := pick(b.runs, &set, need)
		set.add(r)
		free.remove(r)
		need -= r.len()
	}
	b.runs = set.runs(b.runs[:0])
	return set, len(b.runs) <= pieces
}

// pick returns what to take next of the free runs, at most need granules: the smallest gap between two blocks if that
// closes it, else what extends a block upward, else downward, else the first run that holds the rest, else the largest.
func pick(free []run, set *granules, need int) run {
	const (
		closes = iota
		upward
		downward
		holds
		largest
		none
	)
	best, class := run{}, none
	for _, r := range free {
		below, above := set.has(r.first-1), set.has(r.end)
		c := largest
		switch {
		case below && above && r.len() <= need:
			c = closes
		case below:
			c = upward
		case above:
			c = downward
		case r.len() >= need:
			c = holds
		}
		better := c < class
		if c == class {
			better = c == closes && r.len() < best.len() || c == largest && r.len() > best.len()
		}
		if better {
			best, class = r, c
		}
	}
	if n := best.len() - need; n > 0 {
		if class == downward {
			best.first += n
		} else {
			best.end -= n
		}
	}
	return best
}

// shortages describes what the claimants lack, after everybody else was served.
func (b *book) shortages(claims []Claim, short []*Claim) error {
	if len(short) == 0 {
		return nil
	}
	retired, free := 0, 0
	for i := range claims {
		retired += ports(claims[i].Retired)
	}
	fill := make([]Fill, len(b.addrs))
	for i, a := range b.addrs {
		fill[i] = Fill{Address: a, Taken: (b.taken[i].count() - firstGranule) * Granule}
		free = max(free, Capacity-fill[i].Taken)
	}
	errs := make([]error, len(short))
	for i, c := range short {
		s := &Shortage{Tenant: b.tenant.Name, Claimant: c.Claimant, Wanted: b.want * Granule, Addresses: fill, Retired: retired, Held: b.held}
		s.Setting = "portsPerHost"
		if c.Claimant.Host == "" {
			s.Setting = "portsPerInterface"
		}
		s.Missing = max(0, s.Wanted-max(free, b.reach(c, fill)))
		errs[i] = s
	}
	return errors.Join(errs...)
}

// reach is the number of ports that the claimant could have on an address where it has some already.
func (b *book) reach(c *Claim, fill []Fill) int {
	own := map[int]int{}
	for _, blocks := range [2][]Block{c.Blocks, c.Retired} {
		for _, bl := range blocks {
			own[b.index[bl.Address]] += bl.Size()
		}
	}
	most := 0
	for at, n := range own {
		most = max(most, Capacity-fill[at].Taken+n)
	}
	return most
}
