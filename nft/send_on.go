package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/culvertnet/culvert/portmap"
)

// lookup is how the host that a packet is for is found: a key in register 1 and what it is in words, and the map to the host's overlay
// address.
type lookup struct {
	text string
	key  []expr.Any
	in   string
}

// portOwner looks the owner of a packet up by its destination address and the granule of its port. port is where the port is: an offset
// in bytes from the transport header.
func portOwner(portText string, port uint32) lookup {
	granule := binary.BigEndian.AppendUint16(nil, ^uint16(portmap.Granule-1))
	return lookup{
		"ip daddr . " + portText,
		[]expr.Any{network(16, 4, reg1), transport(port, 2, reg1Field2), mask(reg1Field2, granule...)}, mapOwners,
	}
}

// vipOwner looks the owner of a packet up by its destination address alone.
func vipOwner(f Family) lookup {
	to := destinationField(f)
	return lookup{to.text, []expr.Any{to.load(reg1)}, vipOwnersMap(f)}
}

// meta mark set KEY map @MAP: a key that the map lacks ends the rule before. The mark is how the address gets to the chain that sends on,
// which everybody can then read: nft(8) 1.0.6 ends itself over a rule that looks up what another lookup has found.
func (l lookup) mark() statement {
	return says(fmt.Sprintf("meta mark set %s map @%s", l.text, l.in), append(l.key,
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg2, IsDestRegSet: true, SetName: l.in},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg2, SourceRegister: true})...)
}

func loadMark(register uint32) *expr.Meta {
	return &expr.Meta{Key: expr.MetaKeyMARK, Register: register}
}

// Sets of the peers that packets are sent on to.
const (
	setPeers  = "peers"  // each with its count
	mapPeers6 = "peers6" // from one overlay address of a peer to the other
)

// peers count what is sent on to each peer that can own something. They are more than the owners of now: a peer keeps its count while it
// has no ports.
func (b *builder) peers() Set {
	s := set(setPeers, Type{IPv4})
	s.Counted = true
	for _, p := range b.t.Peers {
		if p.Hypervisor || p.Balancer {
			s.Elements[key(p.IPv4)] = p.Host
		}
	}
	return s
}

// peers6 lead from the overlay address that a mark has room for to that of IPv6.
func (b *builder) peers6() Set {
	s := Set{Name: mapPeers6, Key: Type{IPv4}, Data: Type{IPv6}, Elements: make(map[string]string)}
	for _, p := range b.t.Peers {
		if p.Hypervisor || p.Balancer {
			s.Elements[key(p.IPv4)] = key(p.IPv6)
		}
	}
	return s
}

// meta mark @peers
func countPeer() statement { return says("meta mark @"+setPeers, loadMark(reg1), in(setPeers)) }

func chainSendOnOf(f Family) string {
	if f == IPv6Family {
		return chainSendOn6
	}
	return chainSendOn
}

// sendOn sends a packet to the host that its mark names. Counting is a rule by itself: what that lacks is sent on all the same.
func (b *builder) sendOn() Chain {
	return Chain{Name: chainSendOn, Rules: []Rule{
		rule(NetdevFamily, count(Redirected), countPeer()),
		rule(NetdevFamily, b.fwd(IPv4Family, "meta mark", loadMark(reg2))),
	}}
}

// sendOn6 is sendOn for IPv6.
func (b *builder) sendOn6() Chain {
	return Chain{Name: chainSendOn6, Rules: []Rule{
		rule(NetdevFamily, count(Redirected), countPeer()),
		rule(NetdevFamily, b.fwd(IPv6Family, "meta mark map @"+mapPeers6,
			loadMark(reg1), &expr.Lookup{SourceRegister: reg1, DestRegister: reg2, IsDestRegSet: true, SetName: mapPeers6})),
	}}
}

// meta mark set 0 fwd ip to ADDRESS device DEVICE: the address has been read when the mark goes, which VXLAN would keep, for the
// underlay's rules to see.
func (b *builder) fwd(f Family, text string, address ...expr.Any) statement {
	s := says(fmt.Sprintf("meta mark set 0x00000000 fwd %s to %s device %q", f, text, b.vx), append(address, clearMark()...)...)
	s.expressions = append(s.expressions, loadIndex{b.vx, reg3}, forward{deviceRegister: reg3, address: reg2, ipv6: f == IPv6Family})
	return s
}

func clearMark() []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: reg1, Data: binaryutil.NativeEndian.PutUint32(0)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true},
	}
}

// sendWhole is sendOn for datagrams that have been put together, in a chain above the device. The copy is routed to the owner as if this
// namespace had made it, and cut into fragments again (nf_dup_ipv4.c).
func (b *builder) sendWhole() Chain {
	// meta mark set 0 dup to meta mark device DEVICE drop
	s := says(fmt.Sprintf("meta mark set 0x00000000 dup to meta mark device %q drop", b.vx), append([]expr.Any{loadMark(reg2)}, clearMark()...)...)
	s.expressions = append(s.expressions, loadIndex{b.vx, reg3}, plain{&expr.Dup{RegAddr: reg2, RegDev: reg3, IsRegDevSet: true}})
	s.expressions = append(s.expressions, drop().expressions...)
	return Chain{Name: chainSendWhole, Rules: []Rule{
		rule(IPv4Family, count(Reassembled), countPeer()),
		rule(IPv4Family, s),
	}}
}
