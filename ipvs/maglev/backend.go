package maglev

import (
	"math/bits"
	"net/netip"
)

// Backend is a destination of a service.
type Backend struct {
	Address netip.Addr
	Port    uint16
	// Weight is the present weight, 0-2147483647. At 0 the backend gets no new flows.
	Weight int
	// LastWeight is the last weight other than 0, or 0 if there never was one: the share of slots. A backend that drains
	// keeps its slots, and its new flows go elsewhere one by one; one that was added with weight 0 has none. So the two are
	// not the same to all others.
	LastWeight int
}

// Added is a backend as it is when it was added with the weight.
func Added(address netip.Addr, port uint16, weight int) Backend {
	return Backend{address, port, weight, weight}
}

// Changed is the backend after its weight was changed.
func (b Backend) Changed(weight int) Backend {
	b.Weight = weight
	if weight != 0 {
		b.LastWeight = weight
	}
	return b
}

// turns says how many slots each backend takes in one round: the weights divided by their greatest common divisor, shifted
// down so that the largest does not fill the table by itself, and at least 1 for whoever has slots at all.
func turns(backends []Backend, size int) []int {
	divisor, largest := 0, 0
	for _, b := range backends {
		divisor, largest = gcd(b.LastWeight, divisor), max(largest, b.LastWeight)
	}
	out := make([]int, len(backends))
	if divisor == 0 {
		return out
	}
	shift := max(0, bits.Len(uint(largest/divisor))-turnBits(size))
	for i, b := range backends {
		if b.LastWeight > 0 {
			out[i] = max(1, b.LastWeight/divisor>>shift)
		}
	}
	return out
}

// turnBits bounds a backend's turns. The kernel's is half of its CONFIG_IP_VS_MH_TAB_INDEX, and that is the number of bits of
// the table's size: 6 for the 4093 slots of index 12.
func turnBits(size int) int { return bits.Len(uint(size)) / 2 }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
