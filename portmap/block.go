package portmap

import (
	"fmt"
	"net/netip"
)

// Granule is the unit of allocation in ports: a block starts at a multiple of it and is a multiple of it long,
// so that `port & 0xffc0` names the granule a port is in.
const Granule = 64

// Block is an inclusive range of source ports of one public address.
type Block struct {
	Address     netip.Addr
	First, Last uint16
}

// Size is the number of ports in the block.
func (b Block) Size() int { return int(b.Last) - int(b.First) + 1 }

// Ports prints the range with its size, always as in "1024-2047 (1024 ports)".
func (b Block) Ports() string { return fmt.Sprintf("%d-%d (%d ports)", b.First, b.Last, b.Size()) }

// String prints the address and the range.
func (b Block) String() string { return fmt.Sprintf("%s %s", b.Address, b.Ports()) }
