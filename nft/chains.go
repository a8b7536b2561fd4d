package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// attrHookDevices is NFTA_HOOK_DEVS: a nested list of device names.
const attrHookDevices = 4

// chains reads the chains of our table of a family, without rules. The library's reader loses the device of a netdev chain.
func (c *Conn) chains(f Family) ([]Chain, error) {
	request := netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN, Flags: netlink.Request | netlink.Dump},
		Data:   header(f, 0),
	}
	replies, err := c.writer.Execute(request)
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	var out []Chain
	for _, m := range replies {
		if len(m.Data) < 4 || Family(m.Data[0]) != f {
			continue
		}
		chain, table, err := decodeChain(m.Data[4:])
		if err != nil {
			return nil, fmt.Errorf("decode a chain: %w", err)
		}
		if chain.Base != nil {
			chain.Base.ARP = f == ARPFamily
		}
		if table == TableName {
			out = append(out, chain)
		}
	}
	return out, nil
}

// decodeChain decodes the attributes of a chain; it also returns the name of the table.
func decodeChain(data []byte) (Chain, string, error) {
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return Chain{}, "", err
	}
	ad.ByteOrder = binary.BigEndian
	var out Chain
	var table string
	var base Base
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_CHAIN_TABLE:
			table = ad.String()
		case unix.NFTA_CHAIN_NAME:
			out.Name = ad.String()
		case unix.NFTA_CHAIN_TYPE:
			base.Type = ad.String()
		case unix.NFTA_CHAIN_POLICY:
			base.Drop = ad.Uint32() == verdictDrop
		case unix.NFTA_CHAIN_HOOK:
			out.Base = &base
			ad.Nested(base.decode)
		}
	}
	return out, table, ad.Err()
}

// decode reads the nested attributes of a hook.
func (b *Base) decode(ad *netlink.AttributeDecoder) error {
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_HOOK_HOOKNUM:
			b.Hook = Hook(ad.Uint32())
		case unix.NFTA_HOOK_PRIORITY:
			b.Priority = int32(ad.Uint32())
		case unix.NFTA_HOOK_DEV:
			b.Device = ad.String()
		case attrHookDevices:
			ad.Nested(func(names *netlink.AttributeDecoder) error {
				for names.Next() {
					b.Device = names.String()
				}
				return nil
			})
		}
	}
	return nil
}
