package packet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Filter says which packets count; all its terms must hold. The zero value holds for every packet.
type Filter struct {
	text  string
	terms []func(*Packet) bool
}

// Match reports whether all terms hold for the packet.
func (f Filter) Match(p *Packet) bool {
	for _, holds := range f.terms {
		if !holds(p) {
			return false
		}
	}
	return true
}

// String is the text the filter was read from.
func (f Filter) String() string { return f.text }

// FilterHelp describes the language of [ParseFilter].
const FilterHelp = `in, out                      direction, as the device sees it
ip4, ip6, arp                what the frame carries
tcp, udp, sctp, icmp         transport (icmp is both families)
src=, dst=, addr=PREFIX      source, destination, either; an address or a prefix
private                      source or destination is private (RFC 1918, RFC 6598, RFC 4193)
sport=, dport=, port=A[-B]   TCP, UDP and SCTP ports
odd                          the source port is odd
id=A[-B]                     ICMP echo id
type=N[-M], code=N[-M]       ICMP type and code
mtu=A[-B]                    of ICMP "fragmentation needed" and "packet too big"
syn, rst, fin, ack           TCP flags
mss=A[-B]                    maximum segment size, a TCP option
chunk=A[-B]                  type of SCTP's first chunk
ttl=A[-B], length=A[-B]      hop limit; bytes of the IP packet
fragment                     a piece of a fragmented packet
offset=A[-B]                 where the piece begins, in bytes
intact                       the checksums of IPv4, of ICMP and of a quoted IPv4 header are right
summed                       the checksum of TCP, UDP or SCTP is right, which only crafted packets have everywhere
vni=A[-B]                    VXLAN network identifier
inner.TERM                   the term holds for the packet that VXLAN carries
quoted.TERM                  the term holds for the packet that an ICMP error is about
!TERM                        the term does not hold
`

// ParseFilter reads terms separated by blanks; see [FilterHelp].
func ParseFilter(text string) (Filter, error) {
	f := Filter{text: text}
	for _, word := range strings.Fields(text) {
		term, err := parseTerm(word)
		if err != nil {
			return Filter{}, fmt.Errorf("filter term %q: %w", word, err)
		}
		f.terms = append(f.terms, term)
	}
	return f, nil
}

func parseTerm(word string) (func(*Packet) bool, error) {
	if rest, ok := strings.CutPrefix(word, "!"); ok {
		term, err := parseTerm(rest)
		return func(p *Packet) bool { return !term(p) }, err
	}
	if rest, ok := strings.CutPrefix(word, "inner."); ok {
		term, err := parseTerm(rest)
		return func(p *Packet) bool { return p.Inner != nil && term(p.Inner) }, err
	}
	if rest, ok := strings.CutPrefix(word, "quoted."); ok {
		term, err := parseTerm(rest)
		return func(p *Packet) bool { return p.Quoted != nil && term(p.Quoted) }, err
	}
	if term, ok := flagTerms[word]; ok {
		return term, nil
	}
	key, value, ok := strings.Cut(word, "=")
	if !ok {
		return nil, fmt.Errorf("unknown; the terms are:\n%s", FilterHelp)
	}
	if term, ok := prefixTerms[key]; ok {
		prefix, err := parsePrefix(value)
		return func(p *Packet) bool { return term(p, prefix) }, err
	}
	if term, ok := rangeTerms[key]; ok {
		first, last, err := parseRange(value)
		return func(p *Packet) bool { return term(p, func(n int) bool { return first <= n && n <= last }) }, err
	}
	return nil, fmt.Errorf("unknown; the terms are:\n%s", FilterHelp)
}

var flagTerms = map[string]func(*Packet) bool{
	"in":       func(p *Packet) bool { return !p.Outgoing },
	"out":      func(p *Packet) bool { return p.Outgoing },
	"ip4":      func(p *Packet) bool { return p.EtherType == EtherIPv4 },
	"ip6":      func(p *Packet) bool { return p.EtherType == EtherIPv6 },
	"arp":      func(p *Packet) bool { return p.EtherType == EtherARP },
	"tcp":      func(p *Packet) bool { return p.Protocol == TCP },
	"udp":      func(p *Packet) bool { return p.Protocol == UDP },
	"sctp":     func(p *Packet) bool { return p.Protocol == SCTP },
	"icmp":     isICMP,
	"odd":      func(p *Packet) bool { return hasPorts(p) && p.SourcePort%2 == 1 },
	"syn":      func(p *Packet) bool { return p.Flags&SYN != 0 },
	"rst":      func(p *Packet) bool { return p.Flags&RST != 0 },
	"fin":      func(p *Packet) bool { return p.Flags&FIN != 0 },
	"ack":      func(p *Packet) bool { return p.Flags&ACK != 0 },
	"fragment": func(p *Packet) bool { return p.Fragment },
	"intact":   func(p *Packet) bool { return p.Intact },
	"summed":   func(p *Packet) bool { return p.Summed },
	"private":  func(p *Packet) bool { return isPrivate(p.Source) || isPrivate(p.Destination) },
}

var prefixTerms = map[string]func(*Packet, netip.Prefix) bool{
	"src": func(p *Packet, n netip.Prefix) bool { return n.Contains(p.Source) },
	"dst": func(p *Packet, n netip.Prefix) bool { return n.Contains(p.Destination) },
	"addr": func(p *Packet, n netip.Prefix) bool {
		return n.Contains(p.Source) || n.Contains(p.Destination)
	},
}

var rangeTerms = map[string]func(*Packet, func(int) bool) bool{
	"sport": func(p *Packet, in func(int) bool) bool { return hasPorts(p) && in(int(p.SourcePort)) },
	"dport": func(p *Packet, in func(int) bool) bool { return hasPorts(p) && in(int(p.DestinationPort)) },
	"port": func(p *Packet, in func(int) bool) bool {
		return hasPorts(p) && (in(int(p.SourcePort)) || in(int(p.DestinationPort)))
	},
	"id":     func(p *Packet, in func(int) bool) bool { return isEcho(p) && in(int(p.ID)) },
	"type":   func(p *Packet, in func(int) bool) bool { return isICMP(p) && in(int(p.Type)) },
	"code":   func(p *Packet, in func(int) bool) bool { return isICMP(p) && in(int(p.Code)) },
	"mtu":    func(p *Packet, in func(int) bool) bool { return p.MTU != 0 && in(int(p.MTU)) },
	"mss":    func(p *Packet, in func(int) bool) bool { return p.MSS != 0 && in(int(p.MSS)) },
	"chunk":  func(p *Packet, in func(int) bool) bool { return p.hasChunk && in(int(p.Chunk)) },
	"offset": func(p *Packet, in func(int) bool) bool { return p.Fragment && in(p.Offset) },
	"ttl":    func(p *Packet, in func(int) bool) bool { return p.Source.IsValid() && in(int(p.TTL)) },
	"length": func(p *Packet, in func(int) bool) bool { return p.Source.IsValid() && in(p.Length) },
	"vni":    func(p *Packet, in func(int) bool) bool { return p.Inner != nil && in(int(p.VNI)) },
}

func isICMP(p *Packet) bool { return p.Protocol == ICMP || p.Protocol == ICMPv6 }

func isEcho(p *Packet) bool {
	return p.Protocol == ICMP && (p.Type == EchoReply4 || p.Type == EchoRequest4) ||
		p.Protocol == ICMPv6 && (p.Type == EchoRequest6 || p.Type == EchoReply6)
}

func hasPorts(p *Packet) bool {
	return (p.Protocol == TCP || p.Protocol == UDP || p.Protocol == SCTP) && p.Offset == 0
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func isPrivate(a netip.Addr) bool { return a.IsPrivate() || sharedSpace.Contains(a) }

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("want an address or a prefix: %w", err)
	}
	return p.Masked(), nil
}

func parseRange(s string) (first, last int, err error) {
	a, b, two := strings.Cut(s, "-")
	if !two {
		b = a
	}
	low, err := strconv.ParseUint(a, 10, 31)
	if err != nil {
		return 0, 0, fmt.Errorf("want a number or a range A-B: %w", err)
	}
	high, err := strconv.ParseUint(b, 10, 31)
	if err != nil {
		return 0, 0, fmt.Errorf("want a number or a range A-B: %w", err)
	}
	if high < low {
		return 0, 0, fmt.Errorf("range %s ends before it begins", s)
	}
	return int(low), int(high), nil
}
