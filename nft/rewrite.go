package nft

import (
	"fmt"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// payload is a field of a packet: where it begins and how long it is in bytes.
type payload struct {
	text           string
	base           expr.PayloadBase
	offset, length uint32
	// checksum is where the checksum over the field alone is, from the same base; 0 for none.
	checksum uint32
	// pseudo says that the transport's checksum covers the field (RFC 9293 section 3.1, RFC 8200 section 8.1).
	pseudo bool
}

func (p payload) load(register uint32) *expr.Payload {
	return load(p.base, p.offset, p.length, register)
}

// write writes register 1 into a field and corrects the checksums. The library leaves the checksum flags out where a field has
// no checksum of its own, as an IPv6 address.
type write struct{ to payload }

func (w write) encode(encoding) ([]byte, error) {
	attrs := []netlink.Attribute{
		{Type: unix.NFTA_PAYLOAD_SREG, Data: binaryutil.BigEndian.PutUint32(reg1)},
		{Type: unix.NFTA_PAYLOAD_BASE, Data: binaryutil.BigEndian.PutUint32(uint32(w.to.base))},
		{Type: unix.NFTA_PAYLOAD_OFFSET, Data: binaryutil.BigEndian.PutUint32(w.to.offset)},
		{Type: unix.NFTA_PAYLOAD_LEN, Data: binaryutil.BigEndian.PutUint32(w.to.length)},
	}
	if w.to.checksum != 0 {
		attrs = append(attrs,
			netlink.Attribute{Type: unix.NFTA_PAYLOAD_CSUM_TYPE, Data: binaryutil.BigEndian.PutUint32(unix.NFT_PAYLOAD_CSUM_INET)},
			netlink.Attribute{Type: unix.NFTA_PAYLOAD_CSUM_OFFSET, Data: binaryutil.BigEndian.PutUint32(w.to.checksum)})
	}
	if w.to.pseudo {
		attrs = append(attrs, netlink.Attribute{Type: unix.NFTA_PAYLOAD_CSUM_FLAGS, Data: binaryutil.BigEndian.PutUint32(unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR)})
	}
	data, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return nil, err
	}
	return netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_EXPR_NAME, Data: []byte("payload\x00")},
		{Type: unix.NLA_F_NESTED | unix.NFTA_EXPR_DATA, Data: data},
	})
}

// What an ICMP error quotes begins behind its header of 8 bytes (RFC 792, RFC 4443 section 2.1). In IPv4 the quoted header has
// a checksum of its own: an address and that checksum change by opposite amounts, so the checksum of the error stays right. In
// IPv6 it has none, and the checksum of the error is corrected instead. The checksum of a quoted UDP or TCP header is left as
// it is; nobody checks it, for the quotation is cut.
const icmpHeader = 8

func sourceField(f Family) payload {
	if f == IPv6Family {
		return payload{"ip6 saddr", expr.PayloadBaseNetworkHeader, 8, 16, 0, true}
	}
	return payload{"ip saddr", expr.PayloadBaseNetworkHeader, 12, 4, 10, true}
}

func destinationField(f Family) payload {
	if f == IPv6Family {
		return payload{"ip6 daddr", expr.PayloadBaseNetworkHeader, 24, 16, 0, true}
	}
	return payload{"ip daddr", expr.PayloadBaseNetworkHeader, 16, 4, 10, true}
}

// quoted is the field of the packet that an ICMP error is about.
func quoted(f Family, p payload) payload {
	p.base, p.pseudo = expr.PayloadBaseTransportHeader, false
	p.offset += icmpHeader
	p.checksum += icmpHeader
	if f == IPv6Family {
		p.checksum = 2 // of the error itself
	}
	p.text = fmt.Sprintf("@th,%d,%d", p.offset*8, p.length*8)
	return p
}

func (f Family) source(register uint32) *expr.Payload      { return sourceField(f).load(register) }
func (f Family) destination(register uint32) *expr.Payload { return destinationField(f).load(register) }

// FIELD set KEY map @MAP: a key that the map lacks ends the rule.
func rewrite(to, key payload, values string) statement {
	s := says(fmt.Sprintf("%s set %s map @%s", to.text, key.text, values),
		key.load(reg1), &expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: values})
	s.expressions = append(s.expressions, write{to})
	return s
}

// ip daddr set ip daddr map @MAP
func setDestination(f Family, values string) statement {
	return rewrite(destinationField(f), destinationField(f), values)
}

// ip saddr set ip saddr map @MAP
func setSource(f Family, values string) statement {
	return rewrite(sourceField(f), sourceField(f), values)
}

// ip saddr set @th,192,32 map @MAP
func setSourceToQuoted(f Family, values string) statement {
	return rewrite(sourceField(f), quoted(f, destinationField(f)), values)
}

// ip saddr set @th,192,32
func setSourceAsQuoted(f Family) statement {
	to, from := sourceField(f), quoted(f, destinationField(f))
	s := says(fmt.Sprintf("%s set %s", to.text, from.text), from.load(reg1))
	s.expressions = append(s.expressions, write{to})
	return s
}

// @th,160,32 set @th,160,32 map @MAP
func setQuotedSource(f Family, values string) statement {
	q := quoted(f, sourceField(f))
	return rewrite(q, q, values)
}

// @th,192,32 set @th,192,32 map @MAP
func setQuotedDestination(f Family, values string) statement {
	q := quoted(f, destinationField(f))
	return rewrite(q, q, values)
}

// @th,192,32 @SET
func quotedDestination(f Family, set string) statement {
	q := quoted(f, destinationField(f))
	return says(q.text+" @"+set, q.load(reg1), in(set))
}

// icmp type @icmp_errors / icmpv6 type < 128 (RFC 4443 section 2.1: types of errors have the high bit clear)
func icmpErrorOf(f Family) []statement {
	if f == IPv4Family {
		return icmpIn(setICMPErrors)
	}
	return []statement{
		carries(unix.IPPROTO_ICMPV6),
		says("icmpv6 type < echo-request", transport(0, 1, reg1), &expr.Cmp{Op: expr.CmpOpLt, Register: reg1, Data: []byte{128}}),
	}
}

// is is the dependency on the family in a table of all families.
func is(f Family) statement {
	if f == IPv6Family {
		return isIPv6()
	}
	return isIPv4()
}

// ip ttl > LIMIT / ip6 hoplimit > LIMIT
func hopsAbove(f Family, limit byte) statement {
	text, offset := "ip ttl", uint32(8)
	if f == IPv6Family {
		text, offset = "ip6 hoplimit", 7
	}
	return says(fmt.Sprintf("%s > %d", text, limit), network(offset, 1, reg1), &expr.Cmp{Op: expr.CmpOpGt, Register: reg1, Data: []byte{limit}})
}

// dnat to ip daddr map @MAP
func dnat(f Family, values string) statement {
	return oneToOne(f, expr.NATTypeDestNAT, "dnat", destinationField(f), values)
}

// snat to ip saddr map @MAP
func snatToVIP(f Family, values string) statement {
	return oneToOne(f, expr.NATTypeSourceNAT, "snat", sourceField(f), values)
}

func oneToOne(f Family, kind expr.NATType, name string, key payload, values string) statement {
	return says(fmt.Sprintf("%s to %s map @%s", name, key.text, values),
		key.load(reg1), &expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: values},
		&expr.NAT{Type: kind, Family: uint32(f), RegAddrMin: reg1, RegAddrMax: reg1})
}
