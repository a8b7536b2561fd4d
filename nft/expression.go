package nft

import (
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// expression is one instruction of a rule.
type expression interface {
	// encode returns the content of an NFTA_LIST_ELEM: the expression's name and its attributes.
	encode(c encoding) ([]byte, error)
}

// encoding is what an expression may depend on when it is sent.
type encoding struct {
	family Family
	// index is that of the rule's device.
	index uint32
}

// plain is an expression that the library knows.
type plain struct{ expr.Any }

func (p plain) encode(c encoding) ([]byte, error) { return expr.Marshal(byte(c.family), p.Any) }

// forward sends the packet out of a device to a neighbour, past routing: the kernel's nft_fwd_netdev.c. The library has no
// such expression. The kernel decrements the hops that are left, and not every version drops the packet when that reaches zero.
type forward struct {
	// Device is put into register deviceRegister by a load that comes with this expression.
	deviceRegister uint32
	// address is the register with the neighbour's address, ipv6 says of which family.
	address uint32
	ipv6    bool
}

// Attributes of the fwd expression (enum nft_fwd_attributes in linux/netfilter/nf_tables.h).
const (
	attrFwdDevice  = 1 // NFTA_FWD_SREG_DEV
	attrFwdAddress = 2 // NFTA_FWD_SREG_ADDR
	attrFwdFamily  = 3 // NFTA_FWD_NFPROTO
)

func (f forward) encode(encoding) ([]byte, error) {
	family := uint32(unix.NFPROTO_IPV4)
	if f.ipv6 {
		family = unix.NFPROTO_IPV6
	}
	data, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: attrFwdDevice, Data: binaryutil.BigEndian.PutUint32(f.deviceRegister)},
		{Type: attrFwdAddress, Data: binaryutil.BigEndian.PutUint32(f.address)},
		{Type: attrFwdFamily, Data: binaryutil.BigEndian.PutUint32(family)},
	})
	if err != nil {
		return nil, err
	}
	return netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_EXPR_NAME, Data: []byte("fwd\x00")},
		{Type: unix.NLA_F_NESTED | unix.NFTA_EXPR_DATA, Data: data},
	})
}

// loadIndex puts the interface index of a device into a register, as it is when the rule is sent. A rule has one such device.
type loadIndex struct {
	device   string
	register uint32
}

func (l loadIndex) encode(c encoding) ([]byte, error) {
	return plain{&expr.Immediate{Register: l.register, Data: binaryutil.NativeEndian.PutUint32(c.index)}}.encode(c)
}
