package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
)

// Field is the type of one field of a set's key or of a map's data.
type Field int

// The fields. In keys of several fields each is padded to four bytes.
const (
	IPv4      Field = iota // an IPv4 address
	IPv6                   // an IPv6 address
	MAC                    // an Ethernet address
	Port                   // a transport port, 0-65535
	Protocol               // an IP protocol number, 0-255
	ICMPType               // an ICMP type, 0-255
	Mark                   // a number of four bytes, in the host's byte order: a mark, a slot
	Device                 // a device's name, 16 bytes
	Direction              // a direction of a flow in conntrack
)

// fields holds what is known of every field: the kernel's size in bytes and nft's type.
var fields = [...]struct {
	size int
	typ  nftables.SetDatatype
}{
	IPv4:      {4, nftables.TypeIPAddr},
	IPv6:      {16, nftables.TypeIP6Addr},
	MAC:       {6, nftables.TypeEtherAddr},
	Port:      {2, nftables.TypeInetService},
	Protocol:  {1, nftables.TypeInetProto},
	ICMPType:  {1, nftables.TypeICMPType},
	Mark:      {4, nftables.TypeMark},
	Device:    {unix.IFNAMSIZ, nftables.TypeIFName},
	Direction: {1, nftables.TypeCTDir},
}

// format prints the value of one field.
func (f Field) format(b []byte) string {
	switch f {
	case IPv4, IPv6:
		a, _ := netip.AddrFromSlice(b[:fields[f].size])
		return a.String()
	case MAC:
		return config.MAC(b[:6]).String()
	case Port:
		return fmt.Sprint(binary.BigEndian.Uint16(b))
	case Mark:
		return fmt.Sprintf("%#08x", binary.NativeEndian.Uint32(b))
	case Device:
		return fmt.Sprintf("%q", strings.TrimRight(string(b[:unix.IFNAMSIZ]), "\x00"))
	case Protocol:
		return name(protocolNames, b[0])
	case Direction:
		return [...]string{"original", "reply"}[b[0]&1]
	case ICMPType:
		return name(icmpTypeNames, b[0])
	}
	panic(fmt.Sprintf("field %d has no format", f)) // a mistake in this package
}

// What nft calls the numbers that we use.
var (
	protocolNames = map[byte]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_SCTP: "sctp"}
	icmpTypeNames = map[byte]string{icmpUnreachable: "destination-unreachable", icmpTimeExceeded: "time-exceeded", icmpParameterProblem: "parameter-problem"}
)

func name(names map[byte]string, n byte) string {
	if s, ok := names[n]; ok {
		return s
	}
	return fmt.Sprint(n)
}

// Type is a key or a value: one field, or several put together.
type Type []Field

// size is the length of a value in bytes. A single field is not padded.
func (t Type) size() int {
	if len(t) == 1 {
		return fields[t[0]].size
	}
	n := 0
	for _, f := range t {
		n += padded(f)
	}
	return n
}

func padded(f Field) int { return (fields[f].size + 3) &^ 3 }

// String prints the type as nft does.
func (t Type) String() string {
	names := make([]string, len(t))
	for i, f := range t {
		names[i] = fields[f].typ.Name
	}
	return strings.Join(names, " . ")
}

// datatype is the type as nft numbers it.
func (t Type) datatype() nftables.SetDatatype {
	parts := make([]nftables.SetDatatype, len(t))
	for i, f := range t {
		parts[i] = fields[f].typ
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return nftables.MustConcatSetType(parts...)
}

// format prints a value.
func (t Type) format(b string) string {
	parts := make([]string, len(t))
	for i, f := range t {
		parts[i] = f.format([]byte(b))
		if len(t) > 1 {
			b = b[padded(f):]
		}
	}
	return strings.Join(parts, " . ")
}

// Value builds the bytes of a value, field by field; the fields' sizes are the callers' to get right.
type Value []byte

func (v Value) addr(a netip.Addr) Value { return append(v, a.AsSlice()...) }
func (v Value) mac(m config.MAC) Value  { return append(v, m[:]...) }
func (v Value) mark(n uint32) Value     { return binary.NativeEndian.AppendUint32(v, n) }
func (v Value) slot(n int) Value        { return v.mark(uint32(n)) }

func (v Value) device(name string) Value { return append(v, ifname(name)...) }

// paddedMAC appends a MAC padded to eight bytes, as a field among others.
func (v Value) paddedMAC(m config.MAC) Value { return append(v.mac(m), 0, 0) }

// protocol appends a protocol padded to four bytes, as a field among others.
func (v Value) protocol(p byte) Value { return append(v, p, 0, 0, 0) }

// port appends a port padded to four bytes, as a field among others.
func (v Value) port(p uint16) Value { return append(binary.BigEndian.AppendUint16(v, p), 0, 0) }
