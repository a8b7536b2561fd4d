package portmap

import (
	"math/bits"
	"net/netip"
)

const (
	firstGranule = FirstPort / Granule
	endGranule   = (LastPort + 1) / Granule
)

// granules is a set of granules of one address, one bit each; granule g holds the ports from g*Granule on.
type granules [endGranule / 64]uint64

// run is the granules from first up to but not including end.
type run struct{ first, end int }

func (r run) len() int { return r.end - r.first }

// systemPorts is the set of the granules that are never allocated.
func systemPorts() granules {
	var s granules
	s.add(run{0, firstGranule})
	return s
}

func (s *granules) has(g int) bool {
	return g >= 0 && g < endGranule && s[g>>6]&(1<<(g&63)) != 0
}

// touches reports whether any granule of the run is in the set.
func (s *granules) touches(r run) bool { return s.next(r.first, true) < r.end }

func (s *granules) add(r run) {
	for g := r.first; g < r.end; {
		n := min(64-g&63, r.end-g)
		s[g>>6] |= ones(n) << (g & 63)
		g += n
	}
}

func (s *granules) remove(r run) {
	for g := r.first; g < r.end; {
		n := min(64-g&63, r.end-g)
		s[g>>6] &^= ones(n) << (g & 63)
		g += n
	}
}

func ones(n int) uint64 { return ^uint64(0) >> (64 - n) }

func (s *granules) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// union, minus and complement return new sets.
func (s granules) union(t granules) granules {
	for i := range s {
		s[i] |= t[i]
	}
	return s
}

func (s granules) minus(t granules) granules {
	for i := range s {
		s[i] &^= t[i]
	}
	return s
}

func (s granules) complement() granules {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}

// next returns the first granule >= from that is in the set (in) or not in it (!in), or endGranule.
func (s *granules) next(from int, in bool) int {
	for g := from; g < endGranule; g = (g | 63) + 1 {
		w := s[g>>6]
		if !in {
			w = ^w
		}
		if w >>= g & 63; w != 0 {
			return g + bits.TrailingZeros64(w)
		}
	}
	return endGranule
}

// gap returns the first n granules in a row, at from or above, that are not in the set.
func (s *granules) gap(from, n int) (run, bool) {
	for g := s.next(from, false); g+n <= endGranule; {
		end := s.next(g, true)
		if end-g >= n {
			return run{g, g + n}, true
		}
		g = s.next(end, false)
	}
	return run{}, false
}

// runs appends the maximal runs of the set to dst, in order.
func (s *granules) runs(dst []run) []run {
	for g := s.next(0, true); g < endGranule; {
		end := s.next(g, false)
		dst = append(dst, run{g, end})
		g = s.next(end, true)
	}
	return dst
}

// lowest returns the n lowest granules of the set, or all of them if it has fewer.
func (s granules) lowest(n int) granules {
	var low granules
	for g := s.next(0, true); g < endGranule && n > 0; {
		end := min(s.next(g, false), g+n)
		low.add(run{g, end})
		n -= end - g
		g = s.next(end, true)
	}
	return low
}

func (b Block) run() run { return run{int(b.First) / Granule, int(b.Last)/Granule + 1} }

func (r run) block(addr netip.Addr) Block {
	return Block{Address: addr, First: uint16(r.first * Granule), Last: uint16(r.end*Granule - 1)}
}
