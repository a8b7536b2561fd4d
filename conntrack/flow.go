package conntrack

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Flow is a tracked flow whose source is translated.
type Flow struct {
	// Protocol is IP's number of the transport protocol.
	Protocol uint8
	// Public is where answers go: the public address and port, for pings the identifier in place of the port, for protocols
	// without either 0.
	Public netip.AddrPort
}

// Attributes (linux/netfilter/nfnetlink_conntrack.h).
const (
	attrReply  = 2 // CTA_TUPLE_REPLY
	attrStatus = 3 // CTA_STATUS

	tupleIP    = 1 // CTA_TUPLE_IP
	tupleProto = 2 // CTA_TUPLE_PROTO

	ipv4Destination = 2 // CTA_IP_V4_DST

	protoNumber          = 1 // CTA_PROTO_NUM
	protoDestinationPort = 3 // CTA_PROTO_DST_PORT
	protoICMPID          = 4 // CTA_PROTO_ICMP_ID
)

// parse reads one flow; false if its source is not translated, or if it is none of IPv4.
func parse(body []byte) (Flow, bool) {
	const family = 4 // struct nfgenmsg
	if len(body) < family || body[0] != unix.AF_INET {
		return Flow{}, false
	}
	var f Flow
	translated := false
	attributes(body[family:], func(kind uint16, value []byte) {
		switch {
		case kind == attrStatus && len(value) == 4:
			translated = binary.BigEndian.Uint32(value)&sourceNAT != 0
		case kind == attrReply:
			f = parseTuple(value)
		}
	})
	return f, translated && f.Public.Addr().IsValid()
}

func parseTuple(b []byte) (f Flow) {
	var address netip.Addr
	var port uint16
	attributes(b, func(kind uint16, value []byte) {
		switch kind {
		case tupleIP:
			attributes(value, func(kind uint16, value []byte) {
				if kind == ipv4Destination && len(value) == 4 {
					address = netip.AddrFrom4([4]byte(value))
				}
			})
		case tupleProto:
			attributes(value, func(kind uint16, value []byte) {
				switch {
				case kind == protoNumber && len(value) == 1:
					f.Protocol = value[0]
				case (kind == protoDestinationPort || kind == protoICMPID) && len(value) == 2:
					port = binary.BigEndian.Uint16(value)
				}
			})
		}
	})
	f.Public = netip.AddrPortFrom(address, port)
	return f
}

// attributes calls each for every attribute; what does not fit its length ends the walk.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	const flags = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
	for len(b) >= unix.NLA_HDRLEN {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.NLA_HDRLEN || size > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:])&^flags, b[unix.NLA_HDRLEN:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}
