package maglev

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// KernelSize is the number of slots of a kernel whose CONFIG_IP_VS_MH_TAB_INDEX is 12: Debian's, and whoever leaves it as it is.
const KernelSize = 4093

// Sizes are the numbers of slots that a kernel can be built with, for CONFIG_IP_VS_MH_TAB_INDEX from 8 to 17.
var Sizes = []int{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071}

// Flags are a service's flags for the scheduler (IP_VS_SVC_F_SCHED_MH_*, linux/ip_vs.h).
type Flags uint32

// The flags.
const (
	// Fallback gives a flow whose backend has weight 0 another one instead of none.
	Fallback Flags = 0x08
	// Port hashes the client's port as well as its address.
	Port Flags = 0x10
)

// none marks a slot without a backend.
const none = -1

// Table is a service's look-up table. It is safe for concurrent use.
type Table struct {
	backends []Backend
	// slots has a backend's index, or none.
	slots []int32
}

// New makes the table of a service with the backends, in the order in which they were added, oldest first. The size is a
// prime number; it must not be smaller than the number of backends, for which the kernel returns an error. A service that never had
// a weight other than 0 has empty slots alone.
func New(backends []Backend, size int) *Table {
	if size < 2 || len(backends) > size {
		panic(fmt.Sprintf("maglev: %d backends in %d slots", len(backends), size))
	}
	t := &Table{backends: backends, slots: make([]int32, size)}
	for i := range t.slots {
		t.slots[i] = none
	}
	t.fill(t.preferences())
	return t
}

// preference is the order in which a backend wants slots: at, at+stride, at+2*stride and so on, modulo the table's size.
type preference struct {
	at, stride uint32
	turns      int
	backend    int32
}

// preferences are those of the backends that get slots, in the order of the kernel's list: the newest first, since it adds at
// the head.
func (t *Table) preferences() []preference {
	var out []preference
	turns, size := turns(t.backends, len(t.slots)), uint32(len(t.slots))
	for i := len(t.backends) - 1; i >= 0; i-- {
		if turns[i] == 0 {
			continue
		}
		word := word(t.backends[i].Address, t.backends[i].Port)
		out = append(out, preference{
			at: placeKey.hash(word) % size, stride: strideKey.hash(word)%(size-1) + 1,
			turns: turns[i], backend: int32(i),
		})
	}
	return out
}

// fill lets the backends take their most wanted free slot in turn until none is free. A stride is smaller than the size, which
// is prime, so every preference comes to every slot.
func (t *Table) fill(list []preference) {
	if len(list) == 0 {
		return
	}
	// A bit for each slot: what is looked at most stays in the processor's nearest cache.
	taken := make([]uint64, len(t.slots)/64+1)
	size, free := uint32(len(t.slots)), len(t.slots)
	for {
		for i := range list {
			p := &list[i]
			at, stride := p.at, p.stride
			for range p.turns {
				for taken[at/64]>>(at%64)&1 != 0 {
					// Modulo the size without a branch, which no processor could predict.
					at += stride - size
					at += size & uint32(int32(at)>>31)
				}
				taken[at/64] |= 1 << (at % 64)
				t.slots[at] = p.backend
				if free--; free == 0 {
					return
				}
			}
			p.at = at
		}
	}
}

// word is what the hash gets of an address and a port: their sum.
func word(a netip.Addr, port uint16) uint32 { return fold(a) + uint32(port) }

// fold makes 32 bits of an address.
func fold(a netip.Addr) uint32 {
	if a.Is4() {
		b := a.As4()
		return binary.BigEndian.Uint32(b[:])
	}
	b := a.As16()
	return binary.BigEndian.Uint32(b[:]) ^ binary.BigEndian.Uint32(b[4:]) ^ binary.BigEndian.Uint32(b[8:]) ^ binary.BigEndian.Uint32(b[12:])
}

// Pick returns the index of the backend that a new flow from the client's address and port gets; false if it gets none. Without
// the flag [Port], and for protocols without ports, the port does not matter.
func (t *Table) Pick(client netip.Addr, port uint16, flags Flags) (int, bool) {
	if flags&Port == 0 {
		port = 0
	}
	word, size := word(client, port), uint32(len(t.slots))
	first := placeKey.hash(word) % size
	i := t.slots[first]
	if i == none {
		return 0, false
	}
	if t.backends[i].Weight > 0 {
		return int(i), true
	}
	if flags&Fallback == 0 {
		return 0, false
	}
	// The offsets begin with the slot's number and go around: every one is hashed with the client once. That does not come
	// to every slot, so a flow may get none although there is a backend.
	for n := range size {
		i := t.slots[placeKey.hash(word+(first+n)%size)%size]
		if t.backends[i].Weight > 0 {
			return int(i), true
		}
	}
	return 0, false
}

// Slots returns the index of each slot's backend, -1 for none.
func (t *Table) Slots() []int {
	out := make([]int, len(t.slots))
	for i, b := range t.slots {
		out[i] = int(b)
	}
	return out
}
