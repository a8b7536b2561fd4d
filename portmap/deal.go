package portmap

import (
	"cmp"
	"math/bits"
	"slices"
)

// Slots is how many slots the flows of a claimant are hashed to, and so how many blocks a claim has at most.
const Slots = 64

// Deal deals the slots over the blocks in proportion to their sizes, each block within one slot of its exact share. No
// blocks, or blocks of size 0 only, give zero blocks.
//
// The shares are those of the largest remainder (Hamilton's method), ties to the earlier block. The first block has
// all slots; every further block in turn takes its share from the others, from each what it has too many, in the
// order of the bit-reversed slot number (van der Corput) so that a block's slots are spread. Therefore appending a
// block moves the least number of slots that the new shares allow. Blocks that are inserted elsewhere or change their
// size move few, but not always the fewest.
//
// A block much smaller than a 64th of the whole may get no slot.
func Deal(blocks []Block) [Slots]Block {
	var dealt [Slots]Block
	var slots [Slots]int // the index of the block
	for n := 2; n <= len(blocks); n++ {
		redeal(&slots, shares(blocks[:n]))
	}
	if ports(blocks) == 0 {
		return dealt
	}
	for i, at := range slots {
		dealt[i] = blocks[at]
	}
	return dealt
}

// redeal moves as few slots as the shares allow.
func redeal(slots *[Slots]int, shares []int) {
	excess := make([]int, len(shares))
	for i, n := range shares {
		excess[i] = -n
	}
	for _, at := range slots {
		excess[at]++
	}
	taker := 0
	for i := range Slots {
		slot := int(bits.Reverse8(uint8(i)) >> 2)
		if excess[slots[slot]] <= 0 {
			continue
		}
		for excess[taker] >= 0 {
			taker++
		}
		excess[slots[slot]]--
		excess[taker]++
		slots[slot] = taker
	}
}

// shares returns how many slots each block gets; they add up to Slots unless all blocks are empty.
func shares(blocks []Block) []int {
	total := ports(blocks)
	shares := make([]int, len(blocks))
	if total == 0 {
		shares[0] = Slots
		return shares
	}
	order := make([]int, len(blocks))
	left := Slots
	for i, b := range blocks {
		order[i] = i
		shares[i] = b.Size() * Slots / total
		left -= shares[i]
	}
	remainder := func(i int) int { return blocks[i].Size() * Slots % total }
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(remainder(j), remainder(i)) })
	for _, i := range order[:left] {
		shares[i]++
	}
	return shares
}
