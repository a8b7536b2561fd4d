package nft

import (
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/portmap"
)

// slotSeed makes the slot of a flow the same on every host and across restarts; "culv" in ASCII.
const slotSeed = 0x63756c76

// endpoint is what tells flows of one source address apart: where it is in the transport header, in bytes, and its name.
type endpoint struct {
	offset uint32
	text   string
}

var (
	byPort = endpoint{0, "th sport"}
	// An echo request has no port, and its first bytes are the same in all: type and code.
	byIdentifier = endpoint{4, "icmp id"}
)

// jhash ip saddr . th sport . ip protocol mod 64: the slot of a new flow. The destination is left out, so that a private
// address and port keep their public ones for all destinations (RFC 4787 REQ-1, endpoint-independent mapping).
func (e endpoint) slot(register uint32) []expr.Any {
	return []expr.Any{
		network(12, 4, hash1), transport(e.offset, 2, hash2), network(9, 1, hash3),
		&expr.Hash{SourceRegister: hash1, DestRegister: register, Length: 12, Modulus: portmap.Slots, Seed: slotSeed, Type: expr.HashTypeJenkins},
	}
}

func (e endpoint) slotText() string {
	return fmt.Sprintf("jhash ip saddr . %s . ip protocol mod %d seed %#x", e.text, portmap.Slots, slotSeed)
}

// snat ip to KEY map @MAP, the data being an address and a range of ports.
func snat(keyText, blocks string, key ...expr.Any) statement {
	key = append(key,
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: blocks},
		&expr.NAT{
			Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4,
			RegAddrMin: reg1, RegProtoMin: reg1Field2, RegAddrMax: reg1Field3, RegProtoMax: reg1Field4, Specified: true,
		})
	return says(fmt.Sprintf("snat ip to %s map @%s", keyText, blocks), key...)
}

// snat ip to SLOT map @MAP
func snatBySlot(e endpoint, blocks string) statement {
	return snat(e.slotText(), blocks, e.slot(reg1)...)
}

// snat ip to ip saddr map @MAP
func snatBySource(blocks string) statement { return snat("ip saddr", blocks, network(12, 4, reg1)) }

// snat ip to ip saddr . SLOT map @MAP
func snatBySourceAndSlot(e endpoint, blocks string) statement {
	return snat("ip saddr . "+e.slotText(), blocks, append(e.slot(reg1Field2), network(12, 4, reg1))...)
}
