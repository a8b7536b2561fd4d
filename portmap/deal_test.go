package portmap

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func countSlots(slots [Slots]Block) map[Block]int {
	n := map[Block]int{}
	for _, b := range slots {
		n[b]++
	}
	return n
}

func TestDeal(t *testing.T) {
	for _, test := range []struct {
		name   string
		blocks string
		want   []int
	}{
		{"one", "23:1024-2047", []int{64}},
		{"equal", "23:1024-2047 23:4096-5119", []int{32, 32}},
		{"three, ties to the earlier", "23:1024-2047 23:4096-5119 23:8192-9215", []int{22, 21, 21}},
		{"by size", "23:1024-2047 23:4096-7167", []int{16, 48}},
		{"too small for a slot", "23:1024-1087 23:4096-65535", []int{0, 64}},
	} {
		t.Run(test.name, func(t *testing.T) {
			blocks := someBlocks(test.blocks)
			got := countSlots(Deal(blocks))
			for i, b := range blocks {
				if got[b] != test.want[i] {
					t.Errorf("%s has %d slots, want %d", b, got[b], test.want[i])
				}
			}
		})
	}
	if got := Deal(nil); got != [Slots]Block{} {
		t.Errorf("no blocks give %v", got)
	}
}

// Equal blocks alternate, or nearly so: none is without a slot in any row of four slots per block.
func TestDealSpreads(t *testing.T) {
	blocks := someBlocks("23:1024-2047 23:4096-5119 23:8192-9215 23:16384-17407")
	for n, row := range map[int]int{2: 2, 3: 12, 4: 16} {
		slots := Deal(blocks[:n])
		for i := range Slots - row + 1 {
			if got := len(countSlots([Slots]Block(repeat(slots[i : i+row])))); got != n {
				t.Errorf("slots %d-%d lie on %d of %d blocks", i, i+row-1, got, n)
			}
		}
	}
}

// repeat fills all slots with the row.
func repeat(row []Block) []Block {
	all := make([]Block, Slots)
	for i := range all {
		all[i] = row[i%len(row)]
	}
	return all
}

// drawBlocks returns up to most disjoint blocks of one address.
func drawBlocks(t *rapid.T, most int) []Block {
	var blocks []Block
	for g := firstGranule; g < endGranule && len(blocks) < most; {
		first := g + rapid.IntRange(1, 8).Draw(t, "gap")
		end := first + rapid.OneOf(rapid.IntRange(1, 4), rapid.IntRange(1, 200)).Draw(t, "len")
		if end > endGranule {
			break
		}
		blocks = append(blocks, run{first, end}.block(addrA))
		g = end
	}
	return rapid.Permutation(blocks).Draw(t, "order")
}

func TestDealQuotas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t, rapid.IntRange(1, Slots).Draw(t, "most"))
		if len(blocks) == 0 {
			t.Skip()
		}
		slots := Deal(blocks)
		if slots != Deal(blocks) {
			t.Fatal("dealing twice differs")
		}
		got, total, sum := countSlots(slots), ports(blocks), 0
		for _, b := range blocks {
			sum += got[b]
			if off := got[b]*total - b.Size()*Slots; off >= total || off <= -total {
				t.Fatalf("%s has %d slots, its share of %d ports is %.2f", b, got[b], total, float64(b.Size()*Slots)/float64(total))
			}
		}
		if sum != Slots {
			t.Fatalf("%d slots lie on the blocks", sum)
		}
	})
}

// Appending a block moves exactly what the new quotas demand and not one slot more.
func TestDealMovesTheFewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t, 12)
		if len(blocks) < 2 {
			t.Skip()
		}
		before, after := Deal(blocks[:len(blocks)-1]), Deal(blocks)
		moved := 0
		for i := range before {
			if before[i] != after[i] {
				moved++
			}
		}
		had, has, least := countSlots(before), countSlots(after), 0
		for _, b := range blocks {
			least += max(0, has[b]-had[b])
		}
		if moved != least {
			t.Fatalf("%d slots moved, %d suffice", moved, least)
		}
	})
}

// Growth of the block that was dealt in last moves slots to it and none between the others.
func TestDealGrowthOfTheLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t, 2)
		if len(blocks) < 2 {
			t.Skip()
		}
		grown := slices.Clone(blocks)
		more := rapid.IntRange(1, 400).Draw(t, "granules")
		grown[1].Address, grown[1].First, grown[1].Last = addrB, FirstPort, uint16(FirstPort+blocks[1].Size()+more*Granule-1)
		before, after := Deal(blocks), Deal(grown)
		for i := range before {
			if before[i] == blocks[1] && after[i] != grown[1] {
				t.Fatalf("slot %d left the block that grew", i)
			}
		}
	})
}

// What is drained gets no slot, and the rest stays in proportion.
func TestDealAfterDraining(t *testing.T) {
	blocks := someBlocks("23:1024-2047 23:4096-5119 23:8192-10239")
	last := Deal(blocks[:2])
	for i, b := range Deal(blocks) {
		if b != blocks[2] && b != last[i] {
			t.Errorf("slot %d moved from %s to %s though neither drains", i, b, last[i])
		}
	}
	if got := countSlots(Deal(blocks[1:])); got[blocks[0]] != 0 || got[blocks[1]] != 21 || got[blocks[2]] != 43 {
		t.Errorf("slots %v", got)
	}
}
