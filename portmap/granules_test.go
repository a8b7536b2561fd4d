package portmap

import (
	"testing"

	"pgregory.net/rapid"
)

// model is a set of granules the slow way.
type model [endGranule]bool

func drawSet(t *rapid.T, name string) (granules, model) {
	var s granules
	var m model
	for range rapid.IntRange(0, 12).Draw(t, name) {
		r := drawRun(t)
		s.add(r)
		for g := r.first; g < r.end; g++ {
			m[g] = true
		}
	}
	return s, m
}

func drawRun(t *rapid.T) run {
	first := rapid.IntRange(0, endGranule-1).Draw(t, "first")
	return run{first, rapid.IntRange(first+1, min(endGranule, first+200)).Draw(t, "end")}
}

func same(t *rapid.T, what string, s granules, f func(g int) bool) {
	t.Helper()
	for g := range endGranule {
		if s.has(g) != f(g) {
			t.Fatalf("%s: granule %d is in the set: %v", what, g, s.has(g))
		}
	}
}

func TestGranulesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, ms := drawSet(t, "s")
		u, mu := drawSet(t, "u")
		same(t, "add", s, func(g int) bool { return ms[g] })
		same(t, "union", s.union(u), func(g int) bool { return ms[g] || mu[g] })
		same(t, "minus", s.minus(u), func(g int) bool { return ms[g] && !mu[g] })
		same(t, "complement", s.complement(), func(g int) bool { return !ms[g] })

		r := drawRun(t)
		cut := s
		cut.remove(r)
		same(t, "remove", cut, func(g int) bool { return ms[g] && (g < r.first || g >= r.end) })

		count, touches, runs := 0, false, 0
		for g := range endGranule {
			if ms[g] {
				count++
				touches = touches || r.first <= g && g < r.end
				if g == 0 || !ms[g-1] {
					runs++
				}
			}
		}
		if s.count() != count || s.touches(r) != touches || len(s.runs(nil)) != runs {
			t.Fatalf("count %d, touches %v, runs %d; want %d, %v, %d", s.count(), s.touches(r), len(s.runs(nil)), count, touches, runs)
		}

		n := rapid.IntRange(0, 300).Draw(t, "n")
		left := n
		same(t, "lowest", s.lowest(n), func(g int) bool {
			if ms[g] && left > 0 {
				left--
				return true
			}
			return false
		})
	})
}

func TestGapIsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := drawSet(t, "s")
		from := rapid.IntRange(0, endGranule).Draw(t, "from")
		n := rapid.IntRange(1, 300).Draw(t, "n")
		want, found := run{}, false
		for g, free := from, 0; g < endGranule && !found; g++ {
			if free++; m[g] {
				free = 0
			}
			if free == n {
				want, found = run{g - n + 1, g + 1}, true
			}
		}
		if got, ok := s.gap(from, n); ok != found || got != want {
			t.Fatalf("gap(%d, %d) = %v, %v; want %v, %v", from, n, got, ok, want, found)
		}
	})
}

// Growing results in no more blocks than the best of all choices, which a small window allows to try one by one.
func TestGrowTakesTheFewestBlocks(t *testing.T) {
	const window = 14
	rapid.Check(t, func(t *rapid.T) {
		taken := granules{}.complement()
		var have, free granules
		for g := range window {
			switch rapid.SampledFrom([]string{"free", "free", "taken", "taken", "own"}).Draw(t, "granule") {
			case "free":
				free.add(run{20 + g, 21 + g})
			case "own":
				have.add(run{20 + g, 21 + g})
			}
		}
		taken = taken.minus(free)
		if free.count() == 0 {
			t.Skip()
		}
		need := rapid.IntRange(1, free.count()).Draw(t, "need")
		b := &book{taken: []granules{taken}}
		set, ok := b.grow(0, have, granules{}, need, Slots)
		added := set.minus(have)
		if !ok || added.count() != need || have.minus(set) != (granules{}) || added.minus(free) != (granules{}) {
			t.Fatalf("grow took %v of %v", added.runs(nil), free.runs(nil))
		}
		best := endGranule
		for choice := range 1 << window {
			c := granules{uint64(choice) << 20}
			if c.count() == need && c.minus(free) == (granules{}) {
				all := have.union(c)
				best = min(best, len(all.runs(nil)))
			}
		}
		if got := len(set.runs(nil)); got != best {
			t.Fatalf("%d blocks, %d would do: have %v, free %v, need %d, got %v", got, best, have.runs(nil), free.runs(nil), need, set.runs(nil))
		}
	})
}

func TestPick(t *testing.T) {
	for _, test := range []struct {
		name       string
		free, have []run
		need       int
		want       run
	}{
		{"the smallest gap closes", []run{{20, 23}, {25, 27}, {30, 33}}, []run{{23, 25}, {27, 30}, {33, 34}, {18, 20}}, 3, run{25, 27}},
		{"a gap too large to close is filled upward", []run{{20, 24}}, []run{{18, 20}, {24, 26}}, 3, run{20, 23}},
		{"upward before downward", []run{{20, 24}, {30, 34}}, []run{{24, 25}, {29, 30}}, 2, run{30, 32}},
		{"downward from above", []run{{20, 24}}, []run{{24, 25}}, 2, run{22, 24}},
		{"beside its own before a gap that holds all", []run{{20, 25}, {30, 31}}, []run{{29, 30}}, 4, run{30, 31}},
		{"the first that holds all", []run{{20, 22}, {30, 36}, {40, 44}}, nil, 4, run{30, 34}},
		{"the largest if none does", []run{{20, 22}, {30, 33}, {40, 43}}, nil, 4, run{30, 33}},
	} {
		var have granules
		for _, r := range test.have {
			have.add(r)
		}
		if got := pick(test.free, &have, test.need); got != test.want {
			t.Errorf("%s: picked %v, want %v", test.name, got, test.want)
		}
	}
}
