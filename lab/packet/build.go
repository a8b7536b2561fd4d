package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Spec describes a packet to build. Source and Destination are of one family; ports count for TCP, UDP and SCTP.
type Spec struct {
	Protocol            Protocol
	Source, Destination netip.AddrPort
	// TTL is the hop limit, 64 if zero.
	TTL uint8
	// DontFragment forbids routers to cut the packet; in IPv6 they never may.
	DontFragment bool
	// Flags are TCP's.
	Flags uint8
	// Type, Code and ID are of ICMP; the protocol follows the family.
	Type, Code uint8
	ID         uint16
	// MTU is of ICMP's "fragmentation needed" and ICMPv6's "packet too big".
	MTU uint16
	// Chunk is SCTP's only one, Tag the verification tag, InitTag the tag that INIT and INIT ACK choose.
	Chunk        Chunk
	Tag, InitTag uint32
	Payload      []byte
}

// Build writes the packet from the IP header on, with checksums.
func Build(s Spec) ([]byte, error) {
	src, dst := s.Source.Addr(), s.Destination.Addr()
	if !src.IsValid() || src.Is4() != dst.Is4() {
		return nil, fmt.Errorf("build packet from %s to %s: want two addresses of one family", src, dst)
	}
	if s.TTL == 0 {
		s.TTL = 64
	}
	if s.Protocol == ICMP && src.Is6() {
		s.Protocol = ICMPv6
	}
	body, at, err := s.transport()
	if err != nil {
		return nil, err
	}
	if len(body) > 65535-40 {
		return nil, errors.New("build packet: payload is too long")
	}
	sum := uint32(0)
	if s.Protocol != ICMP {
		sum = pseudoHeader(src, dst, s.Protocol, len(body))
	}
	if s.Protocol != SCTP {
		binary.BigEndian.PutUint16(body[at:], checksum(sum, body))
	}
	if src.Is4() {
		return append(s.header4(len(body)), body...), nil
	}
	return append(s.header6(len(body)), body...), nil
}

// transport is the packet from the transport header on; at is where its checksum goes, but for SCTP, which has it.
func (s Spec) transport() (body []byte, at int, err error) {
	switch s.Protocol {
	case UDP:
		body = make([]byte, 8, 8+len(s.Payload))
		binary.BigEndian.PutUint16(body[4:], uint16(8+len(s.Payload)))
		at = 6
	case TCP:
		body = make([]byte, 20, 20+len(s.Payload))
		body[12], body[13] = 5<<4, s.Flags
		binary.BigEndian.PutUint16(body[14:], 65535)
		at = 16
	case ICMP, ICMPv6:
		body = make([]byte, 8, 8+len(s.Payload))
		body[0], body[1] = s.Type, s.Code
		binary.BigEndian.PutUint16(body[4:], s.ID)
		binary.BigEndian.PutUint16(body[6:], s.MTU)
		return append(body, s.Payload...), 2, nil
	case SCTP:
		return s.sctp(), 0, nil
	default:
		return nil, 0, fmt.Errorf("build packet: %s is not supported", s.Protocol)
	}
	binary.BigEndian.PutUint16(body, s.Source.Port())
	binary.BigEndian.PutUint16(body[2:], s.Destination.Port())
	return append(body, s.Payload...), at, nil
}

func (s Spec) header4(body int) []byte {
	h := make([]byte, 20, 20+body)
	h[0] = 4<<4 | 5
	binary.BigEndian.PutUint16(h[2:], uint16(20+body))
	if s.DontFragment {
		h[6] = 0x40
	}
	h[8], h[9] = s.TTL, uint8(s.Protocol)
	src, dst := s.Source.Addr().As4(), s.Destination.Addr().As4()
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	binary.BigEndian.PutUint16(h[10:], checksum(0, h))
	return h
}

func (s Spec) header6(body int) []byte {
	h := make([]byte, 40, 40+body)
	h[0] = 6 << 4
	binary.BigEndian.PutUint16(h[4:], uint16(body))
	h[6], h[7] = uint8(s.Protocol), s.TTL
	src, dst := s.Source.Addr().As16(), s.Destination.Addr().As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
	return h
}

// pseudoHeader sums what RFC 9293 section 3.1 and RFC 8200 section 8.1 put before the transport header.
func pseudoHeader(src, dst netip.Addr, p Protocol, length int) uint32 {
	sum := uint32(p) + uint32(length)
	for _, a := range [][]byte{src.AsSlice(), dst.AsSlice()} {
		for i := 0; i < len(a); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(a[i:]))
		}
	}
	return sum
}

// checksum is the Internet checksum (RFC 1071) of b on top of sum.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
		sum = sum&0xffff + sum>>16
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Checksum is the Internet checksum (RFC 1071) of b, as it goes into a header whose checksum field is zero.
func Checksum(b []byte) uint16 { return checksum(0, b) }
