package nft

import (
	"fmt"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// Undelivered counts packets of load balancers' nodes that are for no backend of this host.
var Undelivered = Counter{"undelivered"}

// Sets and maps of a host that runs backends.
const (
	setNodes      = "nodes"       // the MACs of the tenant's nodes
	mapBackends   = "backends"    // MACs of this host's backends, and the marks that stand for them
	mapDelivered  = "delivered"   // mark and listener, and the VM and port that serve it
	setServed     = "served"      // VMs with a VIP, protocols and ports that serve a load balancer
	setServedVIPs = "served_vips" // the same ports of their VIPs
)

const (
	chainDelivery = topology.DeliveryDevice // of netdev: what this host's own node sends
	chainMarked   = "marked"
)

// priorityMarked is behind destination NAT.
const priorityMarked = priorityDestNAT + 10

// backendMark tells packets for a backend from all others until they have found it; the lower bits are its sequence number, of
// which there are never so many (portmap.Limit, and an overlay is a /8 at most). fragmentMark lacks the bit.
const backendMark = 1 << 27

// serves reports whether the host may run backends of load balancers of the family.
func (b *builder) serves(f Family) bool { return b.t.Hypervisor && len(b.balancers(f)) > 0 }

// runsBackends reports whether the host may run backends of any family.
func (b *builder) runsBackends() bool { return b.t.Hypervisor && len(b.t.Balancers) > 0 }

// loops reports whether the host's own node sends to backends of the host.
func (b *builder) loops() bool { return b.t.Hypervisor && b.t.Balancer }

// localBackends are the backends of the family that this host runs.
func (b *builder) localBackends(f Family, each func(topology.Balancer, topology.Backend)) {
	for _, lb := range b.balancers(f) {
		for _, backend := range lb.Backends {
			if backend.Local {
				each(lb, backend)
			}
		}
	}
}

func (b *builder) nodes() Set {
	s := set(setNodes, Type{MAC})
	for _, p := range b.t.Peers {
		if p.Balancer {
			s.Elements[string(Value{}.mac(p.MAC))] = ""
		}
	}
	return s
}

// backends are the maps of the netdev table: whom a frame is for, by its MAC.
func (b *builder) backends() Set {
	s := Set{Name: mapBackends, Key: Type{MAC}, Data: Type{Mark}, Elements: make(map[string]string)}
	for _, f := range []Family{IPv4Family, IPv6Family} {
		b.localBackends(f, func(_ topology.Balancer, backend topology.Backend) {
			s.Elements[string(Value{}.mac(backend.MAC))] = string(Value{}.mark(backendMark | backend.Sequence))
		})
	}
	return s
}

// recognise takes a node's frame for a backend of this host: to the stack it is another host's, by its MAC.
func (b *builder) recognise() []statement { return all(markByMAC(), packetForHost(), accept()) }

// addBackends adds what delivers packets of nodes to this host's backends. Conntrack keeps a flow with its backend, and gives
// the answers the listener's address and port again.
func (b *builder) addBackends(t *Table) {
	f := t.Family
	if !b.serves(f) {
		return
	}
	t.Counters = append(t.Counters, Undelivered)
	t.Sets = append(t.Sets, b.delivered(f))
	t.Chains = append(t.Chains, Chain{
		Name: chainMarked, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityMarked},
		Rules: []Rule{
			rule(f, notForBackend(), accept()),
			// VXLAN would keep the mark, for the underlay's rules to see.
			rule(f, setMark(0)),
			rule(f, ctRedirected(), accept()),
			// A node of another age sends it, or conntrack finds it wrong.
			rule(f, count(Undelivered), drop()),
		},
	})
}

// delivered says who serves a listener.
func (b *builder) delivered(f Family) Set {
	s := Set{Name: mapDelivered, Key: append(Type{Mark}, f.socket()...), Data: append(f.address(), Port), Elements: make(map[string]string)}
	b.localBackends(f, func(lb topology.Balancer, backend topology.Backend) {
		for _, l := range lb.Listeners {
			from := Value{}.mark(backendMark | backend.Sequence).addr(lb.Address).protocol(protocols[l.Protocol]).port(l.Port)
			s.Elements[string(from)] = string(Value{}.addr(backend.VM).port(l.BackendPort))
		}
	})
	return s
}

// served are the sockets of backends on private addresses that have a stateless VIP, and the same of the VIPs: conntrack has to
// tell whom an answer is for, the load balancer's client or the VIP's.
func (b *builder) served(f Family) []Set {
	vms, vips := set(setServed, f.socket()), set(setServedVIPs, f.socket())
	publics := make(map[string]topology.VIP)
	for _, v := range b.local(f) {
		if !v.Shared {
			publics[key(v.Private)] = v
		}
	}
	b.localBackends(f, func(lb topology.Balancer, backend topology.Backend) {
		v, ok := publics[key(backend.VM)]
		if !ok {
			return
		}
		for _, l := range lb.Listeners {
			protocol := protocols[l.Protocol]
			vms.Elements[string(Value{}.addr(v.Private).protocol(protocol).port(l.BackendPort))] = ""
			vips.Elements[string(Value{}.addr(v.Public).protocol(protocol).port(l.BackendPort))] = ""
		}
	})
	return []Set{vms, vips}
}

// servesVIPs reports whether private addresses with VIPs may serve load balancers.
func (b *builder) servesVIPs(f Family) bool { return b.serves(f) && b.hasVIPs(f) }

// keepServed leaves answers of backends, and errors about what they got, to conntrack.
func (b *builder) keepServed(f Family) []Rule {
	if !b.servesVIPs(f) {
		return nil
	}
	return []Rule{
		rule(f, fromSocket(f, setServed), accept()),
		rule(f, all(icmpErrorOf(f), quotedSocket(f, setServed), accept())...),
	}
}

// keepServedVIPs leaves the same ports of VIPs to conntrack.
func (b *builder) keepServedVIPs(f Family) []Rule {
	if !b.servesVIPs(f) {
		return nil
	}
	return []Rule{rule(f, toSocket(f, setServedVIPs), accept())}
}

// meta mark set ether daddr map @backends
func markByMAC() statement {
	return says("meta mark set ether daddr map @"+mapBackends,
		load(expr.PayloadBaseLLHeader, 0, 6, reg1),
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: mapBackends},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true})
}

// meta pkttype set host
func packetForHost() statement {
	return says("meta pkttype set host",
		&expr.Immediate{Register: reg1, Data: []byte{unix.PACKET_HOST}},
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: reg1, SourceRegister: true})
}

// meta mark & 0x08000000 == 0x00000000
func notForBackend() statement {
	return says(fmt.Sprintf("meta mark & %#08x == 0x00000000", uint32(backendMark)), &expr.Meta{Key: expr.MetaKeyMARK, Register: reg1},
		mask(reg1, binaryutil.NativeEndian.PutUint32(backendMark)...), equal(0, 0, 0, 0))
}

// dnat ip to meta mark . ip daddr . meta l4proto . th dport map @delivered
func dnatToBackend(f Family) statement {
	key := append([]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1}}, loadSocket(f, 1)...)
	port := word(f.words())
	return says(fmt.Sprintf("dnat %s to meta mark . %[1]s daddr . meta l4proto . th dport map @%s", f, mapDelivered), append(key,
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: mapDelivered},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f), RegAddrMin: reg1, RegAddrMax: reg1, RegProtoMin: port, RegProtoMax: port, Specified: true})...)
}

// ip saddr . meta l4proto . th sport @SET
func fromSocket(f Family, name string) statement {
	n := f.words()
	return says(fmt.Sprintf("%s saddr . meta l4proto . th sport @%s", f, name),
		f.source(reg1), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: word(n)}, transport(0, 2, word(n+1)), in(name))
}

// @th,192,32 . @th,136,8 . @th,240,16 @SET: the destination, the protocol and the destination port of the packet that an ICMP
// error is about, whose header has no options.
func quotedSocket(f Family, name string) statement {
	address, n := quoted(f, destinationField(f)), f.words()
	protocol, header := uint32(9), uint32(20)
	if f == IPv6Family {
		protocol, header = 6, 40
	}
	protocol, port := protocol+icmpHeader, header+icmpHeader+2
	return says(fmt.Sprintf("%s . @th,%d,8 . @th,%d,16 @%s", address.text, protocol*8, port*8, name),
		address.load(reg1), transport(protocol, 1, word(n)), transport(port, 2, word(n+1)), in(name))
}
