package maglev

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawPool draws backends with different addresses and a port in common.
func drawPool(t *rapid.T, most int) []Backend {
	numbers := rapid.SliceOfNDistinct(rapid.Uint32Range(1, 1<<21-1), 1, most, rapid.ID).Draw(t, "numbers")
	weight := rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 10), rapid.IntRange(1, 65535))
	var out []Backend
	for _, n := range numbers {
		b := Added(addressOf(n), 443, weight.Draw(t, "weight"))
		if rapid.IntRange(0, 4).Draw(t, "drains") == 0 {
			b = b.Changed(0)
		}
		out = append(out, b)
	}
	return out
}

func addressOf(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 100<<24|96<<16+n)
	return netip.AddrFrom4(b)
}

// TestShares: every slot is taken, and each backend has what its turns promise, less at most one round's worth.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom(Sizes[:6]).Draw(t, "size")
		backends := drawPool(t, 40)
		turns, count, round := turns(backends, size), make([]int, len(backends)), 0
		for _, n := range turns {
			round += n
		}
		for slot, i := range New(backends, size).Slots() {
			if i == none {
				t.Fatalf("slot %d is empty", slot)
			}
			count[i]++
		}
		for i, n := range count {
			if whole := size / round; n < whole*turns[i] || n > (whole+1)*turns[i] {
				t.Errorf("backend %d of %d turns of %d has %d of %d slots", i, turns[i], round, n, size)
			}
		}
	})
}

// TestAvailable: nobody is picked with weight 0, everybody that is picked without the flag has the slot.
func TestAvailable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backends := drawPool(t, 20)
		table := New(backends, 251)
		client, port := addressOf(rapid.Uint32().Draw(t, "client")), rapid.Uint16().Draw(t, "port")
		plain, ok := table.Pick(client, port, Port)
		fallback, found := table.Pick(client, port, Port|Fallback)
		if ok && (!found || fallback != plain) {
			t.Errorf("%d without the flag, %d with", plain, fallback)
		}
		if found && backends[fallback].Weight == 0 {
			t.Errorf("%d has weight 0", fallback)
		}
		again := New(slices.Clone(backends), 251)
		if i, yes := again.Pick(client, port, Port|Fallback); i != fallback || yes != found {
			t.Errorf("%d the first time, %d the second", fallback, i)
		}
	})
}

// TestOrderMatters: two nodes with the same backends in another order disagree.
func TestOrderMatters(t *testing.T) {
	backends := pool(1, 1, 1, 1)
	reversed := slices.Clone(backends)
	slices.Reverse(reversed)
	if d := Compare(New(backends, KernelSize), New(reversed, KernelSize)); d.Moved == 0 || d.Optimum > 4 {
		t.Error(d)
	}
}

// TestDrainKeepsSlots: a drain moves no slot, so flows of the others stay where they are; a node that adds the backend with
// weight 0 has another table.
func TestDrainKeepsSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backends := drawPool(t, 10)
		i := rapid.IntRange(0, len(backends)-1).Draw(t, "drained")
		after := slices.Clone(backends)
		after[i] = after[i].Changed(0)
		if d := Compare(New(backends, 251), New(after, 251)); d.Moved != 0 {
			t.Error(d)
		}
		after[i].LastWeight = 0
		if d := Compare(New(backends, 251), New(after, 251)); d.Moved == 0 {
			t.Error("added with weight 0 it has slots too")
		}
	})
}

// TestDisruption bounds what moves when a backend comes or goes: more than the least, but by far not everything.
func TestDisruption(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10, 20, 40} {
		weights := make([]int, n+1)
		for i := range weights {
			weights[i] = 1
		}
		fewer, more := New(pool(weights[:n]...), KernelSize), New(pool(weights...), KernelSize)
		for what, d := range map[string]Disruption{"added": Compare(fewer, more), "removed": Compare(more, fewer)} {
			t.Logf("%d backends, one %s: %s", n, what, d)
			if d.Moved < d.Optimum || d.Moved > 2*d.Optimum {
				t.Errorf("%d backends, one %s: %s", n, what, d)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	if d := Compare(New(pool(1, 2), 251), New(pool(1, 2), 251)); d != (Disruption{Slots: 251}) {
		t.Error(d)
	}
	if d := Compare(New(pool(), 251), New(pool(1), 251)); d != (Disruption{251, 251, 251}) {
		t.Error(d)
	}
	if got, want := (Disruption{4093, 57, 41}).String(), "57 of 4093 slots move (1.4 %), 41 would be the least"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
