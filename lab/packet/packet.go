package packet

import (
	"fmt"
	"net/netip"
	"strings"
)

// Protocol is an IP protocol number (IANA protocol numbers).
type Protocol uint8

// The protocols that are looked into.
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

// String is the name that filters use.
func (p Protocol) String() string {
	switch p {
	case ICMP, ICMPv6:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// TCP flags (RFC 9293 section 3.1).
const (
	FIN = 0x01
	SYN = 0x02
	RST = 0x04
	ACK = 0x10
)

// DefaultVXLANPort is the UDP port of VXLAN (RFC 7348 section 5).
const DefaultVXLANPort = 4789

// Packet is what is known of one packet. What a packet does not have is zero.
type Packet struct {
	// Outgoing is set by a capture: the packet left through the device rather than came in.
	Outgoing bool
	// EtherType of the frame (IEEE 802).
	EtherType uint16
	// Length of the network layer in bytes, headers included, as the header says.
	Length      int
	Source      netip.Addr
	Destination netip.Addr
	Protocol    Protocol
	TTL         uint8
	// Fragment is set for every piece of a fragmented packet; a piece with an Offset (in bytes) has no ports.
	Fragment bool
	Offset   int
	// SourcePort and DestinationPort are of TCP, UDP and SCTP.
	SourcePort, DestinationPort uint16
	// Flags are TCP's, and MSS is its option, in bytes.
	Flags uint8
	MSS   uint16
	// Data is how many bytes a TCP segment or an unfragmented UDP datagram carries, as the headers say: of an aggregated packet all of
	// them, however few were captured.
	Data int
	// Chunk is the type of SCTP's first.
	Chunk Chunk
	// Type, Code and ID are of ICMP and ICMPv6; ID is of echo messages, MTU of "fragmentation needed" and "packet too big".
	Type, Code uint8
	ID         uint16
	MTU        uint32
	// Quoted is the packet that an ICMP error is about.
	Quoted *Packet
	// Intact is true if the checksums of the IPv4 header, of ICMP and of a quoted IPv4 header were all there and are right.
	Intact bool
	// Summed is true if the checksum of TCP, UDP or SCTP was there and is right. Virtual devices leave it to hardware that does not
	// exist: only crafted packets have one everywhere.
	Summed bool
	// VNI and Inner are of VXLAN.
	VNI   uint32
	Inner *Packet
	// body is the length of what the IP header is before.
	body int
	// quotedHeader is true if the checksum of the quoted header is right.
	quotedHeader bool
	// hasChunk is true if SCTP's first chunk was there: its type may be 0.
	hasChunk bool
}

// String prints the packet in a line, as failures show it.
func (p *Packet) String() string {
	var b strings.Builder
	if !p.Source.IsValid() {
		return fmt.Sprintf("ethertype 0x%04x", p.EtherType)
	}
	switch p.Protocol {
	case TCP, UDP, SCTP:
		fmt.Fprintf(&b, "%s %s > %s", p.Protocol, netip.AddrPortFrom(p.Source, p.SourcePort), netip.AddrPortFrom(p.Destination, p.DestinationPort))
	case ICMP, ICMPv6:
		fmt.Fprintf(&b, "icmp %s > %s type %d code %d id %d", p.Source, p.Destination, p.Type, p.Code, p.ID)
	default:
		fmt.Fprintf(&b, "%s %s > %s", p.Protocol, p.Source, p.Destination)
	}
	fmt.Fprintf(&b, " ttl %d length %d", p.TTL, p.Length)
	if p.hasChunk {
		fmt.Fprintf(&b, " chunk %d", p.Chunk)
	}
	if p.MSS != 0 {
		fmt.Fprintf(&b, " mss %d", p.MSS)
	}
	if p.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", p.MTU)
	}
	if p.Fragment {
		fmt.Fprintf(&b, " fragment at %d", p.Offset)
	}
	if p.Quoted != nil {
		fmt.Fprintf(&b, " about [%s]", p.Quoted)
	}
	if p.Inner != nil {
		fmt.Fprintf(&b, " vni %d [%s]", p.VNI, p.Inner)
	}
	return b.String()
}
