package portmap

import (
	"cmp"
	"fmt"
	"net/netip"
)

// Granule is the unit of allocation in ports: a block starts at a multiple of it and is a multiple of it long,
// so that `port & 0xffc0` names the granule a port is in.
const Granule = 64

// FirstPort and LastPort bound what is allocated. The system ports below 1024 (RFC 6335 section 6) stay free
// for listeners.
const (
	FirstPort = 1024
	LastPort  = 65535
)

// Capacity is the number of ports that can be allocated of one address.
const Capacity = LastPort - FirstPort + 1

// Block is an inclusive range of source ports of one public address.
type Block struct {
	Address     netip.Addr
	First, Last uint16
}

// Size is the number of ports in the block.
func (b Block) Size() int { return int(b.Last) - int(b.First) + 1 }

// Contains reports whether the block holds the port of the address.
func (b Block) Contains(addr netip.Addr, port uint16) bool {
	return b.Address == addr && b.First <= port && port <= b.Last
}

// Compare orders blocks by address, then by their first and last ports.
func (b Block) Compare(c Block) int {
	return cmp.Or(b.Address.Compare(c.Address), cmp.Compare(b.First, c.First), cmp.Compare(b.Last, c.Last))
}

// Ports prints the range with its size, always as in "1024-2047 (1024 ports)".
func (b Block) Ports() string { return fmt.Sprintf("%d-%d (%d ports)", b.First, b.Last, b.Size()) }

// String prints the address and the range.
func (b Block) String() string { return fmt.Sprintf("%s %s", b.Address, b.Ports()) }

// ports is the number of ports in all blocks.
func ports(blocks []Block) int {
	sum := 0
	for _, b := range blocks {
		sum += b.Size()
	}
	return sum
}
