package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// EtherTypes (IEEE 802 numbers).
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherIPv6 = 0x86dd
)

const (
	etherHeader = 14
	vxlanHeader = 8
	// maxDepth bounds VXLAN in VXLAN and errors about errors.
	maxDepth = 4
	// fragmentHeader6 is the next-header value of the IPv6 fragment header (RFC 8200 section 4.5).
	fragmentHeader6 = 44
)

// ErrShort is returned for bytes that end within a header.
var ErrShort = errors.New("packet is too short")

// ErrNotIP is returned by [ParseIP] for bytes that begin with neither IP version.
var ErrNotIP = errors.New("packet is neither IPv4 nor IPv6")

// Parse reads an Ethernet frame. UDP to vxlanPort is read as VXLAN. Frames that are not IP give a packet with an EtherType
// alone. [ErrShort] says that the outermost headers are cut off; what is carried inside is best effort.
func Parse(frame []byte, vxlanPort uint16) (*Packet, error) {
	return parseFrame(frame, vxlanPort, 0)
}

func parseFrame(frame []byte, vxlanPort uint16, depth int) (*Packet, error) {
	if len(frame) < etherHeader {
		return nil, ErrShort
	}
	etherType := binary.BigEndian.Uint16(frame[12:])
	if etherType != EtherIPv4 && etherType != EtherIPv6 {
		return &Packet{EtherType: etherType}, nil
	}
	p, err := parseIP(frame[etherHeader:], vxlanPort, depth)
	if err != nil {
		return nil, err
	}
	p.EtherType = etherType
	return p, nil
}

// ParseIP reads an IP packet without a link header.
func ParseIP(b []byte, vxlanPort uint16) (*Packet, error) { return parseIP(b, vxlanPort, 0) }

func parseIP(b []byte, vxlanPort uint16, depth int) (*Packet, error) {
	if len(b) == 0 {
		return nil, ErrShort
	}
	p := &Packet{}
	var payload []byte
	var err error
	switch b[0] >> 4 {
	case 4:
		payload, err = p.readIPv4(b)
	case 6:
		payload, err = p.readIPv6(b)
	default:
		return nil, ErrNotIP
	}
	if err != nil {
		return nil, err
	}
	if p.Offset == 0 {
		p.readTransport(payload, vxlanPort, depth)
	}
	p.check(b, payload)
	return p, nil
}

// check finds out which checksums are right. A sum over data and its checksum is zero (RFC 1071 section 1).
func (p *Packet) check(b, payload []byte) {
	p.Intact = goodHeader(b) && (p.Quoted == nil || p.quotedHeader)
	if p.Fragment || len(payload) == 0 || p.Length > len(b) {
		p.Intact = p.Intact && p.Protocol != ICMP && p.Protocol != ICMPv6
		return
	}
	sum := uint32(0)
	if p.Protocol != ICMP {
		sum = pseudoHeader(p.Source, p.Destination, p.Protocol, len(payload))
	}
	right := checksum(sum, payload) == 0
	switch p.Protocol {
	case ICMP, ICMPv6:
		p.Intact = p.Intact && right
	case TCP, UDP:
		p.Summed = right
	case SCTP:
		p.Summed = sctpSummed(payload)
	}
}

// goodHeader reports whether the checksum of an IPv4 header is right; IPv6 has none.
func goodHeader(b []byte) bool {
	return b[0]>>4 == 6 || checksum(0, b[:int(b[0]&0xf)*4]) == 0
}

// readIPv4 reads the header of RFC 791 section 3.1.
func (p *Packet) readIPv4(b []byte) (payload []byte, err error) {
	if len(b) < 20 {
		return nil, ErrShort
	}
	header := int(b[0]&0xf) * 4
	if header < 20 || len(b) < header {
		return nil, ErrShort
	}
	p.EtherType = EtherIPv4
	p.Length = int(binary.BigEndian.Uint16(b[2:]))
	p.body = p.Length - header
	frag := binary.BigEndian.Uint16(b[6:])
	p.Offset = int(frag&0x1fff) * 8
	p.Fragment = frag&0x3fff != 0
	p.TTL, p.Protocol = b[8], Protocol(b[9])
	p.Source, p.Destination = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	return clip(b[header:], p.Length-header), nil
}

// readIPv6 reads the header of RFC 8200 section 3 and the fragment header.
func (p *Packet) readIPv6(b []byte) (payload []byte, err error) {
	if len(b) < 40 {
		return nil, ErrShort
	}
	p.EtherType = EtherIPv6
	body := int(binary.BigEndian.Uint16(b[4:]))
	p.Length, p.body = body+40, body
	p.Protocol, p.TTL = Protocol(b[6]), b[7]
	p.Source, p.Destination = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	payload = clip(b[40:], body)
	if p.Protocol == fragmentHeader6 && len(payload) >= 8 {
		field := binary.BigEndian.Uint16(payload[2:])
		p.Offset = int(field &^ 7)
		p.Fragment = true
		p.Protocol = Protocol(payload[0])
		payload = payload[8:]
	}
	return payload, nil
}

// clip cuts b to n bytes where it is longer: Ethernet pads short frames. A length of zero or less belongs to an aggregated
// packet above 64 KiB and cuts nothing.
func clip(b []byte, n int) []byte {
	if n > 0 && n < len(b) {
		return b[:n]
	}
	return b
}

func (p *Packet) readTransport(b []byte, vxlanPort uint16, depth int) {
	switch p.Protocol {
	case TCP, UDP:
		p.readPorts(b, vxlanPort, depth)
	case SCTP:
		p.readSCTP(b)
	case ICMP, ICMPv6:
		p.readICMP(b, depth)
	}
}

func (p *Packet) readPorts(b []byte, vxlanPort uint16, depth int) {
	if len(b) < 4 {
		return
	}
	p.SourcePort, p.DestinationPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if p.Protocol == TCP {
		if len(b) > 13 {
			p.Flags, p.MSS, p.Data = b[13], maxSegment(b), max(0, p.body-int(b[12]>>4)*4)
		}
		return
	}
	if !p.Fragment {
		p.Data = max(0, p.body-8)
	}
	// RFC 7348 section 5: flags with the I bit, 24 bits reserved, VNI, 8 bits reserved.
	if p.DestinationPort != vxlanPort || vxlanPort == 0 || depth >= maxDepth || len(b) < 8+vxlanHeader || b[8]&0x08 == 0 {
		return
	}
	p.VNI = binary.BigEndian.Uint32(b[12:]) >> 8
	if inner, err := parseFrame(b[8+vxlanHeader:], vxlanPort, depth+1); err == nil {
		p.Inner = inner
	}
}

// maxSegment reads the option of a TCP header (RFC 9293 section 3.2), zero if it has none.
func maxSegment(b []byte) uint16 {
	const end, noOperation, mss = 0, 1, 2
	options := b[min(20, len(b)):max(min(20, len(b)), min(int(b[12]>>4)*4, len(b)))]
	for len(options) > 0 && options[0] != end {
		if options[0] == noOperation {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return 0
		}
		if options[0] == mss && options[1] == 4 {
			return binary.BigEndian.Uint16(options[2:])
		}
		options = options[options[1]:]
	}
	return 0
}

// ICMP types (RFC 792, RFC 4443).
const (
	EchoReply4, EchoRequest4            = 0, 8
	Unreachable4, Exceeded4, Parameter4 = 3, 11, 12
	EchoRequest6, EchoReply6            = 128, 129
	lastError6                          = 127
	fragmentationNeeded, tooBig         = 4, 2
)

func (p *Packet) readICMP(b []byte, depth int) {
	if len(b) < 8 {
		return
	}
	p.Type, p.Code = b[0], b[1]
	echo, failure := p.Type == EchoReply4 || p.Type == EchoRequest4, p.Type == Unreachable4 || p.Type == Exceeded4 || p.Type == Parameter4
	if p.Protocol == ICMPv6 {
		echo, failure = p.Type == EchoRequest6 || p.Type == EchoReply6, p.Type <= lastError6
	}
	switch {
	case echo:
		p.ID = binary.BigEndian.Uint16(b[4:])
	case failure && depth < maxDepth:
		if p.Protocol == ICMP && p.Type == Unreachable4 && p.Code == fragmentationNeeded {
			p.MTU = uint32(binary.BigEndian.Uint16(b[6:])) // RFC 1191 section 4
		} else if p.Protocol == ICMPv6 && p.Type == tooBig {
			p.MTU = binary.BigEndian.Uint32(b[4:]) // RFC 4443 section 3.2
		}
		if quoted, err := parseIP(b[8:], 0, depth+1); err == nil {
			p.Quoted, p.quotedHeader = quoted, goodHeader(b[8:])
		}
	}
}
