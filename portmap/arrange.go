package portmap

import (
	"net/netip"
	"slices"
)

// on returns the granules of the blocks on the address.
func on(blocks []Block, addr netip.Addr) granules {
	var s granules
	for _, b := range blocks {
		if b.Address == addr {
			s.add(b.run())
		}
	}
	return s
}

// arrange returns the set as blocks. A block that holds one of the old blocks, or a part of it, takes its place in the
// order; the others follow.
func arrange(old []Block, set granules, addr netip.Addr) []Block {
	runs := set.runs(nil)
	blocks := make([]Block, len(runs))
	for i, r := range runs {
		blocks[i] = r.block(addr)
	}
	if len(old) == 0 || len(blocks) < 2 {
		return blocks
	}
	place := func(b Block) int {
		i := slices.IndexFunc(old, func(o Block) bool { return o.First <= b.Last && b.First <= o.Last })
		if i < 0 {
			return len(old)
		}
		return i
	}
	slices.SortStableFunc(blocks, func(a, b Block) int { return place(a) - place(b) })
	return blocks
}

// merge returns the blocks of both lists sorted, adjacent ones as one.
func merge(a, b []Block) []Block {
	blocks := slices.Concat(a, b)
	slices.SortFunc(blocks, Block.Compare)
	merged := blocks[:0]
	for _, b := range blocks {
		if n := len(merged) - 1; n >= 0 && merged[n].Address == b.Address && int(merged[n].Last)+1 == int(b.First) {
			merged[n].Last = b.Last
			continue
		}
		merged = append(merged, b)
	}
	return merged
}

// without returns the blocks minus the granules of the address that are in the set.
func without(blocks []Block, addr netip.Addr, set granules) []Block {
	var rest []Block
	for _, b := range blocks {
		if b.Address != addr {
			rest = append(rest, b)
			continue
		}
		s := on([]Block{b}, addr)
		rest = append(rest, arrange(nil, s.minus(set), addr)...)
	}
	return rest
}
