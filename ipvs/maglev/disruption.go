package maglev

import (
	"fmt"
	"net/netip"
)

// Disruption says what a change does to new flows and to those that a node has no connection entry for.
type Disruption struct {
	// Slots is the size of the tables.
	Slots int
	// Moved is the number of slots that have another backend after the change.
	Moved int
	// Optimum is the least number of slots that had to move to give every backend the slots that it has now.
	Optimum int
}

// String prints the numbers in one line.
func (d Disruption) String() string {
	return fmt.Sprintf("%d of %d slots move (%.1f %%), %d would be the least", d.Moved, d.Slots, 100*float64(d.Moved)/float64(d.Slots), d.Optimum)
}

// Compare says what lies between two tables of one size. Backends with equal address and port are the same.
func Compare(before, after *Table) Disruption {
	d := Disruption{Slots: len(after.slots)}
	gained := make(map[netip.AddrPort]int)
	for i := range after.slots {
		was, is := before.at(i), after.at(i)
		if was != is {
			d.Moved++
		}
		gained[is]++
		gained[was]--
	}
	for _, n := range gained {
		d.Optimum += max(0, n)
	}
	return d
}

// at returns who has the slot; the zero value for nobody.
func (t *Table) at(slot int) netip.AddrPort {
	i := t.slots[slot]
	if i == none {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(t.backends[i].Address, t.backends[i].Port)
}
