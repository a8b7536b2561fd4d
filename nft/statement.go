package nft

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// statement is a part of a rule: what it says and what it does. Above each stands the nft line it compiles to.
type statement struct {
	text        string
	expressions []expression
}

func says(text string, exprs ...expr.Any) statement {
	s := statement{text: text}
	for _, e := range exprs {
		s.expressions = append(s.expressions, plain{e})
	}
	return s
}

// Registers. 1 is the first 16-byte register, 9-11 are its 4-byte parts after the first (8): the fields of a key of several
// fields that begins in register 1 lie in 1, 9, 10, 11 (enum nft_registers in linux/netfilter/nf_tables.h).
const (
	reg1 = unix.NFT_REG_1
	reg2 = unix.NFT_REG_2
	reg3 = unix.NFT_REG_3
	// The second, third and fourth field of a key or value that begins in register 1.
	reg1Field2 = unix.NFT_REG32_00 + 1
	reg1Field3 = unix.NFT_REG32_00 + 2
	reg1Field4 = unix.NFT_REG32_00 + 3
	// Scratch for a hash of three fields, and where its result goes.
	hash1 = unix.NFT_REG32_00 + 8
	hash2 = unix.NFT_REG32_00 + 9
	hash3 = unix.NFT_REG32_00 + 10
)

func load(base expr.PayloadBase, offset, length, register uint32) *expr.Payload {
	return &expr.Payload{DestRegister: register, Base: base, Offset: offset, Len: length}
}

func network(offset, length, register uint32) *expr.Payload {
	return load(expr.PayloadBaseNetworkHeader, offset, length, register)
}

func transport(offset, length, register uint32) *expr.Payload {
	return load(expr.PayloadBaseTransportHeader, offset, length, register)
}

func equal(data ...byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: data} }

func in(set string) *expr.Lookup { return &expr.Lookup{SourceRegister: reg1, SetName: set} }

func notIn(set string) *expr.Lookup {
	return &expr.Lookup{SourceRegister: reg1, SetName: set, Invert: true}
}

func mask(register uint32, bits ...byte) *expr.Bitwise {
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: uint32(len(bits)), Mask: bits, Xor: make([]byte, len(bits))}
}

// meta protocol ip: the dependency of everything that follows; nft does not print it.
func isIPv4() statement {
	return says("", &expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: reg1}, equal(0x08, 0x00))
}

// meta protocol ip6: as isIPv4.
func isIPv6() statement {
	return says("", &expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: reg1}, equal(0x86, 0xdd))
}

// ether saddr @SET
func etherSource(set string) statement {
	return says("ether saddr @"+set, load(expr.PayloadBaseLLHeader, 6, 6, reg1), in(set))
}

// ether saddr != @SET
func etherSourceNot(set string) statement {
	return says("ether saddr != @"+set, load(expr.PayloadBaseLLHeader, 6, 6, reg1), notIn(set))
}

// meta iiftype ether: without it there may be no Ethernet header to look at; nft does not print it.
func isEthernet() statement {
	return says("", &expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: reg1}, equal(binaryutil.NativeEndian.PutUint16(unix.ARPHRD_ETHER)...))
}

// ip saddr @SET / ip6 saddr @SET
func source(f Family, set string) statement {
	return says(fmt.Sprintf("%s saddr @%s", f, set), f.source(reg1), in(set))
}

// ip daddr @SET / ip6 daddr @SET
func destination(f Family, set string) statement {
	return says(fmt.Sprintf("%s daddr @%s", f, set), f.destination(reg1), in(set))
}

// ip protocol @SET
func protocol(set string) statement { return says("ip protocol @"+set, network(9, 1, reg1), in(set)) }

// ip saddr != @SET / ip6 saddr != @SET
func sourceNot(f Family, set string) statement {
	return says(fmt.Sprintf("%s saddr != @%s", f, set), f.source(reg1), notIn(set))
}

// ip daddr != @SET / ip6 daddr != @SET
func destinationNot(f Family, set string) statement {
	return says(fmt.Sprintf("%s daddr != @%s", f, set), f.destination(reg1), notIn(set))
}

var linkLocal = netip.MustParsePrefix("169.254.0.0/16")

// ip hdrlength != 5: in words of four bytes
func hasOptions() statement {
	return says("ip hdrlength != 5", network(0, 1, reg1), mask(reg1, 0x0f), &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{5}})
}

// ip frag-off & 0x3fff != 0: a first or a later fragment (RFC 791: 13 bits offset, 1 bit "more").
func fragment() statement {
	return says("ip frag-off & 16383 != 0", network(6, 2, reg1), mask(reg1, 0x3f, 0xff), &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{0, 0}})
}

// ip frag-off & 0x3fff == 0: no fragment.
func whole() statement {
	return says("ip frag-off & 16383 == 0", network(6, 2, reg1), mask(reg1, 0x3f, 0xff), equal(0, 0))
}

// ip ttl < LIMIT
func hopsBelow(limit byte) statement {
	return says(fmt.Sprintf("ip ttl < %d", limit), network(8, 1, reg1), &expr.Cmp{Op: expr.CmpOpLt, Register: reg1, Data: []byte{limit}})
}

// meta mark MARK
func marked(mark uint32) statement {
	return says(fmt.Sprintf("meta mark %#08x", mark), &expr.Meta{Key: expr.MetaKeyMARK, Register: reg1}, equal(binaryutil.NativeEndian.PutUint32(mark)...))
}

// meta mark set MARK
func setMark(mark uint32) statement {
	return says(fmt.Sprintf("meta mark set %#08x", mark),
		&expr.Immediate{Register: reg1, Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true})
}

// meta l4proto PROTOCOL: the dependency of what is in the transport header; nft does not print it.
func carries(protocol byte) statement {
	return says("", &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, equal(protocol))
}

// icmp type TYPE
func icmp(name string, typ byte) []statement {
	return []statement{
		carries(unix.IPPROTO_ICMP),
		says("icmp type "+name, transport(0, 1, reg1), equal(typ)),
	}
}

// icmp type @SET
func icmpIn(set string) []statement {
	return []statement{
		carries(unix.IPPROTO_ICMP),
		says("icmp type @"+set, transport(0, 1, reg1), in(set)),
	}
}

// @th,OFFSET,BITS VALUE
func raw(offset uint32, value byte) statement {
	return says(fmt.Sprintf("@th,%d,8 %#x", offset*8, value), transport(offset, 1, reg1), equal(value))
}

// @th,OFFSET,8 @SET
func rawIn(offset uint32, set string) statement {
	return says(fmt.Sprintf("@th,%d,8 @%s", offset*8, set), transport(offset, 1, reg1), in(set))
}

// iifname NAME
func inDevice(name string) statement {
	return says(fmt.Sprintf("iifname %q", name), &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, equal(ifname(name)...))
}

// oifname NAME
func outDevice(name string) statement {
	return says(fmt.Sprintf("oifname %q", name), &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, equal(ifname(name)...))
}

func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// rt ip nexthop ADDRESS
func nexthopIs(a netip.Addr) statement {
	text, load := nexthop(IPv4Family)
	return says(text+" "+a.String(), load, equal(a.AsSlice()...))
}

// rt ip nexthop: the address that the packet is handed to, its own destination if it needs no router.
func nexthop(f Family) (string, *expr.Rt) {
	if f == IPv6Family {
		return "rt ip6 nexthop", &expr.Rt{Register: reg1, Key: expr.RtNexthop6}
	}
	return "rt ip nexthop", &expr.Rt{Register: reg1, Key: expr.RtNexthop4}
}

// rt ip nexthop @SET / rt ip6 nexthop @SET
func nexthopIn(f Family, set string) statement {
	text, load := nexthop(f)
	return says(text+" @"+set, load, in(set))
}

// rt ip nexthop PREFIX / rt ip6 nexthop PREFIX
func nexthopWithin(p netip.Prefix) statement {
	text, load := nexthop(familyOf(p))
	return says(fmt.Sprintf("%s %s", text, p), load, mask(reg1, net.CIDRMask(p.Bits(), p.Addr().BitLen())...), equal(p.Addr().AsSlice()...))
}

// rt ip nexthop > ADDRESS / rt ip6 nexthop > ADDRESS
func nexthopAbove(a netip.Addr) statement {
	f := IPv6Family
	if a.Is4() {
		f = IPv4Family
	}
	text, load := nexthop(f)
	return says(fmt.Sprintf("%s > %s", text, a), load, &expr.Cmp{Op: expr.CmpOpGt, Register: reg1, Data: a.AsSlice()})
}

// ct state STATE
func ctState(name string, bits uint32) statement {
	return says("ct state "+name, &expr.Ct{Key: expr.CtKeySTATE, Register: reg1},
		mask(reg1, binaryutil.NativeEndian.PutUint32(bits)...),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)})
}

// ct status STATUS
func ctStatus(name string, bits uint32) statement {
	return says("ct status "+name, &expr.Ct{Key: expr.CtKeySTATUS, Register: reg1},
		mask(reg1, binaryutil.NativeEndian.PutUint32(bits)...),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)})
}

// ct status snat: the flow has a public address. No packet without a conntrack entry, so no invalid one, matches.
func ctTranslated() statement { return ctStatus("snat", statusTranslated) }

// ct status dnat: the flow's destination is another one here, that of a VIP or a load balancer.
func ctRedirected() statement { return ctStatus("dnat", statusRedirected) }

// ct status confirmed: the entry is older than this packet.
func ctConfirmed() statement { return ctStatus("confirmed", statusConfirmed) }

// ct status assured,snat / assured,snat: both bits. Such a flow has seen packets both ways, a TCP connection its handshake.
func ctTranslatedAndAssured() statement { return ctAssuredAnd("snat", statusTranslated) }

// ct status assured,dnat / assured,dnat: the same of a flow that a load balancer has led here.
func ctDeliveredAndAssured() statement { return ctAssuredAnd("dnat", statusRedirected) }

func ctAssuredAnd(name string, bits uint32) statement {
	both := binaryutil.NativeEndian.PutUint32(statusAssured | bits)
	return says(fmt.Sprintf("ct status assured,%s / assured,%[1]s", name), &expr.Ct{Key: expr.CtKeySTATUS, Register: reg1}, mask(reg1, both...), equal(both...))
}

// tcp flags syn / syn,rst tcp option maxseg size set rt mtu: a segment fits every hop's MTU, both ways.
func clampMSS() []statement {
	const maxseg, sizeAt = 2, 2 // TCP option kind 2, its value at byte 2 (RFC 9293 section 3.2)
	return []statement{
		carries(unix.IPPROTO_TCP),
		says("tcp flags syn / syn,rst", transport(13, 1, reg1), mask(reg1, 0x06), equal(0x02)),
		says("tcp option maxseg size set rt mtu",
			&expr.Rt{Register: reg1, Key: expr.RtTCPMSS}, // in the host's byte order
			&expr.Byteorder{SourceRegister: reg1, DestRegister: reg1, Op: expr.ByteorderHton, Len: 2, Size: 2},
			&expr.Exthdr{SourceRegister: reg1, Type: maxseg, Offset: sizeAt, Len: 2, Op: expr.ExthdrOpTcpopt}),
	}
}

// counter name NAME
func count(c Counter) statement {
	return says(fmt.Sprintf("counter name %q", c.Name), &expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: c.Name})
}

// notrack
func notrack() statement { return says("notrack", &expr.Notrack{}) }

func accept() statement { return says("accept", &expr.Verdict{Kind: expr.VerdictAccept}) }
func drop() statement   { return says("drop", &expr.Verdict{Kind: expr.VerdictDrop}) }

// jump CHAIN
func jump(chain string) statement {
	return says("jump "+chain, &expr.Verdict{Kind: expr.VerdictJump, Chain: chain})
}

// goto CHAIN
func goTo(chain string) statement {
	return says("goto "+chain, &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain})
}

// reject with icmp REASON / reject with icmpv6 REASON: unreachable with the code (RFC 792, RFC 1812 section 5.2.7.1, RFC 4443
// section 3.1). The kernel limits the rate of ICMP errors.
func reject(f Family, reason string, code, code6 uint8) statement {
	if f == IPv6Family {
		return says("reject with icmpv6 "+strings.Replace(reason, "host", "addr", 1), &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: code6})
	}
	return says("reject with icmp "+reason, &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: code})
}

func rejectProhibited(f Family) statement      { return reject(f, "admin-prohibited", 13, 1) }
func rejectHostUnreachable(f Family) statement { return reject(f, "host-unreachable", 1, 3) }

// reject: with ICMP's port unreachable, of either family
func rejectPortUnreachable(f Family) statement {
	const code, code6 = 3, 4
	s := reject(f, "port-unreachable", code, code6)
	s.text = "reject"
	return s
}

// all joins statements and lists of them.
func all(parts ...any) []statement {
	var out []statement
	for _, p := range parts {
		switch p := p.(type) {
		case statement:
			out = append(out, p)
		case []statement:
			out = append(out, p...)
		}
	}
	return out
}
