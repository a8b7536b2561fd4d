package trigger

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// newGeneration is nftables' message after each transaction (linux/netfilter/nf_tables.h, NFT_MSG_NEWGEN).
const newGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN

// devices are those of the host's namespace, by index.
type devices map[int32]string

// reader turns rtnetlink's messages into events. It leaves out what kernels and routers say all day and what is never ours:
// neighbours that come and go by themselves.
func (d devices) reader(tell func(Event)) func(Space, message) {
	return func(space Space, m message) {
		e, ok := Event{Space: space}, true
		index := int32(0)
		switch m.kind {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			e.Kind = Link
			index = d.link(space, m)
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			e.Kind = Address
			index = word(m.body, 4) // ifaddrmsg.ifa_index
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			e.Kind = Route
			index = int32(attribute(m.body, unix.SizeofRtMsg, unix.RTA_OIF).number())
		case unix.RTM_NEWRULE, unix.RTM_DELRULE:
			e.Kind = Route // a rule names no device by its index
		case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			e.Kind = Neighbour
			index = word(m.body, 4) // ndmsg.ndm_ifindex
			ok = !passing(m.body)
		case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
			e.Kind = Parameter
			index = int32(attribute(m.body, 4, netconfIndex).number())
		default:
			ok = false
		}
		if !ok {
			return
		}
		if space == Host {
			e.Device = d[index]
			if m.kind == unix.RTM_DELLINK {
				delete(d, index)
			}
		}
		tell(e)
	}
}

// netconfIndex is NETCONFA_IFINDEX (linux/netconf.h); it is first behind a netconfmsg of one byte, aligned to four.
const netconfIndex = 1

// link remembers the name of a link of the host's namespace.
func (d devices) link(space Space, m message) int32 {
	index := word(m.body, 4) // ifinfomsg.ifi_index
	if name := attribute(m.body, unix.SizeofIfInfomsg, unix.IFLA_IFNAME); space == Host && len(name) > 1 {
		d[index] = string(name[:len(name)-1])
	}
	return index
}

// passing reports whether a neighbour is one that VMs and hosts make by speaking IPv6 on their link: never one of ours.
func passing(body []byte) bool {
	a, ok := netip.AddrFromSlice(attribute(body, unix.SizeofNdMsg, unix.NDA_DST))
	return ok && a.Is6() && (a.IsLinkLocalUnicast() || a.IsMulticast())
}

func word(b []byte, at int) int32 {
	if len(b) < at+4 {
		return 0
	}
	return int32(binary.NativeEndian.Uint32(b[at:]))
}

// value is an attribute's.
type value []byte

func (v value) number() uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

// attribute finds an attribute behind a header of the given size; nil if there is none.
func attribute(b []byte, header int, kind uint16) value {
	const head = unix.SizeofRtAttr
	if len(b) < header {
		return nil
	}
	for b = b[header:]; len(b) >= head; {
		length := int(binary.NativeEndian.Uint16(b))
		if length < head || length > len(b) {
			return nil
		}
		// The two highest bits are flags (linux/netlink.h, NLA_TYPE_MASK).
		if binary.NativeEndian.Uint16(b[2:])&0x3fff == kind {
			return value(b[head:length])
		}
		b = b[min(len(b), (length+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	return nil
}
