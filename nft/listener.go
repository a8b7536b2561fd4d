package nft

import (
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// Sets and maps of load balancers' addresses and ports.
const (
	setListening     = "listening"      // addresses that load balancers listen on
	setListeners     = "listeners"      // address, protocol and port of every listener
	mapListenerNodes = "listener_nodes" // the node to hand packets for a listener to, of addresses that are NAT's too
	mapAddressNodes  = "address_nodes"  // the node to hand pings of such an address to
)

// protocols are the numbers of the protocols that listeners have.
var protocols = map[config.Protocol]byte{config.TCP: unix.IPPROTO_TCP, config.UDP: unix.IPPROTO_UDP, config.SCTP: unix.IPPROTO_SCTP}

// balancers are the tenant's load balancers of the family.
func (b *builder) balancers(f Family) []topology.Balancer {
	var out []topology.Balancer
	for _, lb := range b.t.Balancers {
		if lb.Address.Is4() == (f == IPv4Family) {
			out = append(out, lb)
		}
	}
	return out
}

// balances reports whether the host is a node of load balancers of the family.
func (b *builder) balances(f Family) bool { return b.t.Balancer && len(b.balancers(f)) > 0 }

// listening are the addresses of load balancers.
func (b *builder) listening(f Family) Set {
	s := set(setListening, f.address())
	for _, a := range b.t.Listening(f == IPv4Family) {
		s.Elements[key(a)] = ""
	}
	return s
}

// socket is the type of an address, a protocol and a port.
func (f Family) socket() Type { return append(f.address(), Protocol, Port) }

// listeners are the sockets of load balancers that keep holds for.
func (b *builder) listeners(f Family, name string, keep func(topology.Balancer, config.Listener) bool) Set {
	s := set(name, f.socket())
	for _, lb := range b.balancers(f) {
		for _, l := range lb.Listeners {
			if keep(lb, l) {
				s.Elements[string(Value{}.addr(lb.Address).protocol(protocols[l.Protocol]).port(l.Port))] = ""
			}
		}
	}
	return s
}

// handsOver reports whether packets for listeners on addresses of the NAT gateway are to be handed to a node.
func (b *builder) handsOver() bool {
	if b.t.Balancer {
		return false
	}
	for _, lb := range b.t.Balancers {
		if lb.Shared {
			return true
		}
	}
	return false
}

// listenerNodes are the maps to the node that gets what is for listeners on addresses of the NAT gateway.
func (b *builder) listenerNodes() []Set {
	sockets := Set{Name: mapListenerNodes, Key: IPv4Family.socket(), Data: Type{IPv4}, Elements: make(map[string]string)}
	pings := addresses(mapAddressNodes, IPv4Family)
	node, ok := b.t.Node()
	for _, lb := range b.t.Balancers {
		if !ok || !lb.Shared {
			continue
		}
		pings.Elements[key(lb.Address)] = key(node.IPv4)
		for _, l := range lb.Listeners {
			sockets.Elements[string(Value{}.addr(lb.Address).protocol(protocols[l.Protocol]).port(l.Port))] = key(node.IPv4)
		}
	}
	return []Set{sockets, pings}
}

// toNode hands what is for a listener on an address of the NAT gateway to a node, by way of a chain that sends on.
func (b *builder) toNode(f Family, next string) []Rule {
	if !b.handsOver() {
		return nil
	}
	first := all()
	if f == NetdevFamily {
		first = all(isIPv4())
	}
	socket := lookup{"ip daddr . ip protocol . th dport", socketOf(2, network(9, 1, reg1Field2)), mapListenerNodes}
	about := lookup{"ip daddr . @th,136,8 . @th,224,16", socketOf(28, transport(17, 1, reg1Field2)), mapListenerNodes}
	return []Rule{
		rule(f, all(first, protocol(setPorted), socket.mark(), goTo(next))...),
		rule(f, all(first, icmp("echo-request", icmpEchoRequest), lookup{"ip daddr", []expr.Any{network(16, 4, reg1)}, mapAddressNodes}.mark(), goTo(next))...),
		// An error is about a packet that a backend sent from the listener.
		rule(f, all(first, aboutPort(), about.mark(), goTo(next))...),
	}
}

// socketOf loads the destination, a protocol and the port at an offset of the transport header, as a key.
func socketOf(port uint32, protocol *expr.Payload) []expr.Any {
	return []expr.Any{network(16, 4, reg1), protocol, transport(port, 2, reg1Field3)}
}

// word is the register of four bytes that a field of a key lies in, counted in words from register 1.
func word(n int) uint32 {
	if n == 0 {
		return reg1
	}
	return unix.NFT_REG32_00 + uint32(n)
}

// words is how many registers of four bytes an address takes.
func (f Family) words() int { return padded(f.address()[0]) / 4 }

// loadSocket loads the packet's destination, protocol and destination port from the given word on.
func loadSocket(f Family, at int) []expr.Any {
	next := at + f.words()
	return []expr.Any{f.destination(word(at)), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: word(next)}, transport(2, 2, word(next+1))}
}

// ip daddr . meta l4proto . th dport @SET
func toSocket(f Family, name string) statement {
	return says(fmt.Sprintf("%s daddr . meta l4proto . th dport @%s", f, name), append(loadSocket(f, 0), in(name))...)
}
