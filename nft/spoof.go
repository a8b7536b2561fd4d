package nft

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// Counters of what VMs send that is not theirs to send.
var (
	Spoofed        = Counter{"spoofed"}
	LinkLocal      = Counter{"link_local"}
	NeighbourFlood = Counter{"neighbour_flood"}
)

// Sets of what is a VM's own.
const (
	setSenders    = "senders"     // device, MAC and address of every VM of this host
	setARPSenders = "arp_senders" // the same with the MAC that ARP says
	setNICs       = "nics"        // device and MAC of every VM of this host
)

const (
	chainSpoofing  = "spoofing"
	chainNeighbour = "neighbours"
)

// prioritySpoofing is ahead of defragmentation (-400): each fragment is looked at by itself.
const prioritySpoofing = -450

// ICMPv6 types of routers and neighbours (RFC 4861 section 4).
const (
	icmpv6RouterAdvertisement    = 134
	icmpv6NeighbourAdvertisement = 136
	icmpv6Redirect               = 137
)

// ours lets pass what comes from the fabric's own devices. Whatever other device is in the namespace is a VM's.
func (b *builder) ours(f Family) []Rule {
	rules := []Rule{rule(f, inDevice(b.vx), accept())}
	if b.t.Edge {
		rules = append(rules, rule(f, inDevice(topology.UplinkDevice), accept()))
	}
	if b.loops() && f != ARPFamily {
		rules = append(rules, rule(f, inDevice(topology.DeliveryDevice), accept()))
	}
	return rules
}

// spoofing drops IPv4 packets of VMs from other addresses than theirs. A device that is in no set sends nothing.
func (b *builder) spoofing(t *Table) {
	const f = IPv4Family
	t.Counters = append(t.Counters, Spoofed)
	t.Sets = append(t.Sets, b.senders(f))
	t.Chains = append(t.Chains, Chain{
		Name: chainSpoofing, Base: &Base{Type: "filter", Hook: Prerouting, Priority: prioritySpoofing},
		Rules: append(b.ours(f),
			rule(f, sentBy(setSenders), accept()),
			rule(f, inDevice("lo"), accept()),
			rule(f, count(Spoofed), drop())),
	})
}

// spoofing6 does the same for IPv6, where every VM has link-local addresses besides, for ICMPv6 with its gateway alone.
func (b *builder) spoofing6(t *Table) {
	const f = IPv6Family
	t.Counters = append(t.Counters, Spoofed, LinkLocal, NeighbourFlood)
	t.Sets = append(t.Sets, b.senders(f), b.nics(), b.neighbourSenders())
	t.Chains = append(t.Chains,
		Chain{
			Name: chainSpoofing, Base: &Base{Type: "filter", Hook: Prerouting, Priority: prioritySpoofing},
			Rules: append(b.ours(f),
				rule(f, carriesICMPv6(), jump(chainNeighbour)),
				rule(f, sentBy6(setSenders), accept()),
				rule(f, inDevice("lo"), accept()),
				// mDNS, DHCPv6 and the like: there is nobody to hear them.
				rule(f, sentFrom(setNICs), linkLocalSource(), count(LinkLocal), drop()),
				rule(f, count(Spoofed), drop())),
		},
		Chain{
			Name: chainNeighbour,
			Rules: []Rule{
				// A VM is no router, and no neighbour but for its own addresses.
				rule(f, icmpv6("nd-router-advert", icmpv6RouterAdvertisement), count(Spoofed), drop()),
				rule(f, icmpv6("nd-redirect", icmpv6Redirect), count(Spoofed), drop()),
				rule(f, icmpv6("nd-neighbor-advert", icmpv6NeighbourAdvertisement), targetNotLinkLocal(), targetNotOf(setSenders), count(Spoofed), drop()),
				rule(f, sentFrom(setNICs), linkLocalSource(), tooManyNeighbours(), count(NeighbourFlood), drop()),
				// Neither is forwarded: a link-local destination ends here. The unspecified source looks for duplicates (RFC 4862).
				rule(f, sentFrom(setNICs), linkLocalSource(), linkLocalDestination(), accept()),
				rule(f, sentFrom(setNICs), linkLocalSource(), linkLocalMulticast(), accept()),
				rule(f, sentFrom(setNICs), unspecifiedSource(), linkLocalMulticast(), accept()),
			},
		})
}

// arp drops ARP packets of VMs that speak for other addresses than theirs.
func (b *builder) arp() Table {
	const f = ARPFamily
	return Table{
		Family: f, Counters: []Counter{Spoofed}, Sets: []Set{b.arpSenders()},
		Chains: []Chain{{
			Name: chainSpoofing, Base: &Base{Type: "filter", ARP: true, Priority: priorityFilter},
			Rules: append(b.ours(f),
				rule(f, askedBy(setARPSenders), accept()),
				rule(f, count(Spoofed), drop())),
		}},
	}
}

// senders are the VMs' own addresses of the family.
func (b *builder) senders(f Family) Set {
	address := IPv4
	if f == IPv6Family {
		address = IPv6
	}
	s := set(setSenders, Type{Device, MAC, address})
	for _, i := range b.t.Interfaces {
		for _, a := range i.Addresses {
			if a.Is4() == (f == IPv4Family) {
				s.Elements[string(Value{}.device(i.Device).paddedMAC(i.MAC).addr(a))] = ""
			}
		}
	}
	return s
}

// arpSenders allow a VM its addresses, and to ask without one whether somebody has them (probes, RFC 5227 section 2.1.1).
func (b *builder) arpSenders() Set {
	s := set(setARPSenders, Type{Device, MAC, MAC, IPv4})
	for _, i := range b.t.Interfaces {
		for _, a := range append([]netip.Addr{netip.IPv4Unspecified()}, i.Addresses...) {
			if a.Is4() {
				s.Elements[string(Value{}.device(i.Device).paddedMAC(i.MAC).paddedMAC(i.MAC).addr(a))] = ""
			}
		}
	}
	return s
}

func (b *builder) nics() Set {
	s := set(setNICs, Type{Device, MAC})
	for _, i := range b.t.Interfaces {
		s.Elements[string(Value{}.device(i.Device).paddedMAC(i.MAC))] = ""
	}
	return s
}

// Registers of a key that begins with a device and a MAC: 16 and 8 bytes from register 1 on.
const (
	afterDevice = unix.NFT_REG32_00 + 4
	afterMAC    = unix.NFT_REG32_00 + 6
	afterMACs   = unix.NFT_REG32_00 + 8
)

// iifname . ether saddr, of a device that has Ethernet headers; nft does not print that.
func sender(more ...expr.Any) []expr.Any {
	return append([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: reg1},
		equal(binaryutil.NativeEndian.PutUint16(unix.ARPHRD_ETHER)...),
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		load(expr.PayloadBaseLLHeader, 6, 6, afterDevice),
	}, more...)
}

// iifname . ether saddr @SET
func sentFrom(set string) statement {
	return says("iifname . ether saddr @"+set, sender(in(set))...)
}

// iifname . ether saddr . ip saddr @SET
func sentBy(set string) statement {
	return says("iifname . ether saddr . ip saddr @"+set, sender(network(12, 4, afterMAC), in(set))...)
}

// iifname . ether saddr . ip6 saddr @SET
func sentBy6(set string) statement {
	return says("iifname . ether saddr . ip6 saddr @"+set, sender(network(8, 16, afterMAC), in(set))...)
}

// iifname . ether saddr . @th,64,128 != @SET: the target of a neighbour advertisement (RFC 4861 section 4.4).
func targetNotOf(set string) statement {
	return says("iifname . ether saddr . @th,64,128 != @"+set, sender(transport(8, 16, afterMAC), notIn(set))...)
}

// iifname . ether saddr . arp saddr ether . arp saddr ip @SET
func askedBy(set string) statement {
	return says("iifname . ether saddr . arp saddr ether . arp saddr ip @"+set,
		sender(network(8, 6, afterMAC), network(14, 4, afterMACs), in(set))...)
}

// meta l4proto ipv6-icmp
func carriesICMPv6() statement {
	return says("meta l4proto ipv6-icmp", &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, equal(unix.IPPROTO_ICMPV6))
}

// icmpv6 type TYPE
func icmpv6(name string, typ byte) statement {
	s := carries(unix.IPPROTO_ICMPV6)
	s.text = "icmpv6 type " + name
	s.expressions = append(s.expressions, says("", transport(0, 1, reg1), equal(typ)).expressions...)
	return s
}

// isLinkLocal compares the first 10 bits with fe80::/10 (RFC 4291 section 2.5.6).
func isLinkLocal(text string, from *expr.Payload, op expr.CmpOp) statement {
	return says(text, from, mask(reg1, 0xff, 0xc0), &expr.Cmp{Op: op, Register: reg1, Data: []byte{0xfe, 0x80}})
}

// @nh,64,16 & 0xffc0 == 0xfe80: ip6 saddr fe80::/10
func linkLocalSource() statement {
	return isLinkLocal("@nh,64,16 & 0xffc0 == 0xfe80", network(8, 2, reg1), expr.CmpOpEq)
}

// @nh,192,16 & 0xffc0 == 0xfe80: ip6 daddr fe80::/10
func linkLocalDestination() statement {
	return isLinkLocal("@nh,192,16 & 0xffc0 == 0xfe80", network(24, 2, reg1), expr.CmpOpEq)
}

// @th,64,16 & 0xffc0 != 0xfe80
func targetNotLinkLocal() statement {
	return isLinkLocal("@th,64,16 & 0xffc0 != 0xfe80", transport(8, 2, reg1), expr.CmpOpNeq)
}

// ip6 daddr ff02::/16
func linkLocalMulticast() statement {
	return says("ip6 daddr ff02::/16", network(24, 2, reg1), equal(0xff, 0x02))
}

// ip6 saddr ::
func unspecifiedSource() statement {
	return says("ip6 saddr ::", network(8, 16, reg1), equal(make([]byte, 16)...))
}
