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

// Entry is a tracked flow of either family, as the kernel wrote it. It is valid as long as the call that it is given to.
type Entry struct {
	// Original is the first packet's direction before translation, Reply that of the answers as they come.
	Original, Reply Tuple

	family     uint8
	translated bool
	// original and id are what the kernel finds the entry by.
	original, id []byte
}

// Tuple is one direction of a flow, in network byte order. What the flow's protocol does not have is nil.
type Tuple struct {
	// Protocol is IP's number of the transport protocol.
	Protocol uint8
	// Source and Destination are addresses of 4 or 16 bytes.
	Source, Destination         []byte
	SourcePort, DestinationPort []byte
	// Identifier is that of an echo request and its reply.
	Identifier []byte
}

// Attributes (linux/netfilter/nfnetlink_conntrack.h).
const (
	attrOriginal = 1  // CTA_TUPLE_ORIG
	attrReply    = 2  // CTA_TUPLE_REPLY
	attrStatus   = 3  // CTA_STATUS
	attrID       = 12 // CTA_ID

	tupleIP    = 1 // CTA_TUPLE_IP
	tupleProto = 2 // CTA_TUPLE_PROTO

	ipv4Source      = 1 // CTA_IP_V4_SRC
	ipv4Destination = 2 // CTA_IP_V4_DST
	ipv6Source      = 3 // CTA_IP_V6_SRC
	ipv6Destination = 4 // CTA_IP_V6_DST

	protoNumber          = 1 // CTA_PROTO_NUM
	protoSourcePort      = 2 // CTA_PROTO_SRC_PORT
	protoDestinationPort = 3 // CTA_PROTO_DST_PORT
	protoICMPID          = 4 // CTA_PROTO_ICMP_ID
)

// parse reads one; false if it is cut off.
func (e *Entry) parse(body []byte) bool {
	if len(body) < headerSize {
		return false
	}
	*e = Entry{family: body[0]}
	attributes(body[headerSize:], func(kind uint16, value []byte) {
		switch kind {
		case attrStatus:
			e.translated = len(value) == 4 && binary.BigEndian.Uint32(value)&sourceNAT != 0
		case attrOriginal:
			e.original, e.Original = value, parseTuple(value)
		case attrReply:
			e.Reply = parseTuple(value)
		case attrID:
			e.id = value
		}
	})
	return true
}

// flow is false for an entry whose source is not translated, or that is none of IPv4.
func (e *Entry) flow() (Flow, bool) {
	address, ok := netip.AddrFromSlice(e.Reply.Destination)
	if !ok || !e.translated || e.family != unix.AF_INET || !address.Is4() {
		return Flow{}, false
	}
	var port uint16
	switch {
	case e.Reply.DestinationPort != nil:
		port = binary.BigEndian.Uint16(e.Reply.DestinationPort)
	case e.Reply.Identifier != nil:
		port = binary.BigEndian.Uint16(e.Reply.Identifier)
	}
	return Flow{e.Reply.Protocol, netip.AddrPortFrom(address, port)}, true
}

func parseTuple(b []byte) (t Tuple) {
	attributes(b, func(kind uint16, value []byte) {
		switch kind {
		case tupleIP:
			attributes(value, t.address)
		case tupleProto:
			attributes(value, t.transport)
		}
	})
	return t
}

func (t *Tuple) address(kind uint16, value []byte) {
	switch {
	case kind == ipv4Source && len(value) == 4, kind == ipv6Source && len(value) == 16:
		t.Source = value
	case kind == ipv4Destination && len(value) == 4, kind == ipv6Destination && len(value) == 16:
		t.Destination = value
	}
}

func (t *Tuple) transport(kind uint16, value []byte) {
	if kind == protoNumber && len(value) == 1 {
		t.Protocol = value[0]
	}
	if len(value) != 2 {
		return
	}
	switch kind {
	case protoSourcePort:
		t.SourcePort = value
	case protoDestinationPort:
		t.DestinationPort = value
	case protoICMPID:
		t.Identifier = value
	}
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
