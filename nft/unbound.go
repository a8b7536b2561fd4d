package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages and attributes of conntrack (linux/netfilter/nfnetlink_conntrack.h).
const (
	conntrackGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	conntrackDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE

	attrTupleOriginal = 1  // CTA_TUPLE_ORIG
	attrTupleReply    = 2  // CTA_TUPLE_REPLY
	attrID            = 12 // CTA_ID

	attrTupleIP       = 1 // CTA_TUPLE_IP
	attrDestination4  = 2 // CTA_IP_V4_DST
	attrDestination6  = 4 // CTA_IP_V6_DST
	nestedWithoutFlag = ^uint16(unix.NLA_F_NESTED)
)

// unbind notes the VIPs that do not stand for the same private address any more: translation is kept with a flow, and flows of
// before must not go on.
func (p *Plan) unbind(observed, desired []Table) {
	for _, was := range observed {
		old := was.set(mapSharedIn)
		if old == nil {
			continue
		}
		var now Set
		if want := find(desired, was.Family); want == nil {
			continue // the namespace goes
		} else if s := want.set(mapSharedIn); s != nil {
			now = *s
		}
		for public, private := range old.Elements {
			if now.Elements[public] != private {
				if p.unbound == nil {
					p.unbound = make(map[Family]map[string]bool)
				}
				if p.unbound[was.Family] == nil {
					p.unbound[was.Family] = make(map[string]bool)
				}
				p.unbound[was.Family][public] = true
			}
		}
	}
}

// entry is what of a conntrack entry is needed to delete it, as the kernel wrote it.
type entry struct{ original, id []byte }

// endFlows deletes the conntrack entries of flows that came for one of the addresses or left from one.
func (c *Conn) endFlows(f Family, publics map[string]bool) error {
	replies, err := c.writer.Execute(netlink.Message{
		Header: netlink.Header{Type: conntrackGet, Flags: netlink.Request | netlink.Dump}, Data: header(f, 0),
	})
	if err != nil {
		return fmt.Errorf("list flows: %w", err)
	}
	var errs []error
	for _, m := range replies {
		e, ends, err := decodeEntry(m.Data[min(4, len(m.Data)):], publics)
		if err != nil {
			return fmt.Errorf("decode a flow: %w", err)
		}
		if ends {
			errs = append(errs, c.endFlow(f, e))
		}
	}
	return errors.Join(errs...)
}

func (c *Conn) endFlow(f Family, e entry) error {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NLA_F_NESTED | attrTupleOriginal, Data: e.original}, {Type: attrID, Data: e.id},
	})
	if err != nil {
		return err
	}
	_, err = c.writer.Execute(netlink.Message{
		Header: netlink.Header{Type: conntrackDelete, Flags: netlink.Request | netlink.Acknowledge}, Data: append(header(f, 0), attrs...),
	})
	if err != nil && !errors.Is(err, unix.ENOENT) { // it has ended by itself
		return fmt.Errorf("end a flow of a virtual IP that is gone: %w", err)
	}
	return nil
}

// decodeEntry reads a conntrack entry and reports whether it came for one of the addresses, or left from one: then its replies
// go there.
func decodeEntry(data []byte, publics map[string]bool) (e entry, ends bool, err error) {
	attrs, err := netlink.UnmarshalAttributes(data)
	if err != nil {
		return entry{}, false, err
	}
	for _, a := range attrs {
		switch a.Type & nestedWithoutFlag {
		case attrTupleOriginal, attrTupleReply:
			to, err := destinationOf(a.Data)
			if err != nil {
				return entry{}, false, err
			}
			ends = ends || publics[to]
			if a.Type&nestedWithoutFlag == attrTupleOriginal {
				e.original = a.Data
			}
		case attrID:
			e.id = a.Data
		}
	}
	return e, ends, nil
}

// destinationOf is the destination in a tuple.
func destinationOf(tuple []byte) (to string, err error) {
	ad, err := netlink.NewAttributeDecoder(tuple)
	if err != nil {
		return "", err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		if ad.Type() != attrTupleIP {
			continue
		}
		ad.Nested(func(ip *netlink.AttributeDecoder) error {
			for ip.Next() {
				if t := ip.Type(); t == attrDestination4 || t == attrDestination6 {
					to = string(ip.Bytes())
				}
			}
			return nil
		})
	}
	return to, ad.Err()
}
