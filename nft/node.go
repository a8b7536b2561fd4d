package nft

import (
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// Counters of a load balancer's node.
var (
	Closed     = Counter{"closed"}
	Flooded    = Counter{"flooded"}
	Unbalanced = Counter{"unbalanced"}
	Asked      = Counter{"asked"}
	Departed   = Counter{"departed"}
)

const (
	setClosed       = "closed"       // TCP listeners without a backend that gets new flows
	setAbandoned    = "abandoned"    // TCP listeners without any backend
	setDestinations = "destinations" // the addresses of backends that a node sends to
	mapOthers       = "others"       // the other nodes, numbered
)

const (
	chainBalance = "balance"
	chainAhead   = "ahead"
	chainOpening = "opening"
	chainInput   = "input"
	chainAnswers = "answers"
	chainBackend = "backend"
)

// IPVS takes packets at 98 and 99 (net/netfilter/ipvs/ip_vs_core.c: NF_IP_PRI_NAT_SRC - 2 and - 1).
const (
	priorityAhead = prioritySourceNAT - 10
	priorityInput = prioritySourceNAT + 10
)

// node is the table of a family on a node that runs no VMs of the tenant: nothing is forwarded, unless it is an edge too.
func (b *builder) node(f Family) Table {
	var t Table
	if b.t.Edge {
		t = b.edge(f)
	} else {
		t = b.shut(f)
		t.Counters = append(t.Counters, OwnTraffic)
		t.Sets = append(t.Sets, b.inside(f))
		output := Chain{Name: chainOutput, Base: &Base{Type: "filter", Hook: Output, Priority: priorityFilter}, Rules: b.nodeOutput(f)}
		output.Rules = append(output.Rules, b.staysInside(f))
		t.Chains = append(t.Chains, output)
	}
	t.Counters = append(t.Counters, Unknown, SecondHand)
	t.Sets = append(t.Sets, b.edges())
	t.Chains = append(t.Chains, b.unowned(f))
	if b.nats(f) {
		b.addFragments(&t)
	}
	b.addNode(&t)
	return t
}

// addNode adds what a node needs around IPVS, which gets packets for the listeners delivered like for a service of the host's own.
//
// IPVS takes them in the input hook and sends them to a backend's MAC. What it leaves comes to the chain "input" and goes no
// further, so that the host's own TCP never resets a flow that another node knows.
func (b *builder) addNode(t *Table) {
	f := t.Family
	if !b.balances(f) {
		return
	}
	t.Counters = append(t.Counters, Closed, Flooded, Unbalanced, Departed)
	t.Sets = append(t.Sets, b.listening(f), b.destinations(f),
		b.listeners(f, setListeners, func(topology.Balancer, config.Listener) bool { return true }),
		b.listeners(f, setClosed, func(lb topology.Balancer, l config.Listener) bool { return l.Protocol == config.TCP && !lb.Open() }))
	if s := b.abandoned(f); len(s.Elements) > 0 {
		t.Sets = append(t.Sets, s)
	}
	if len(b.others()) > 0 {
		t.Counters = append(t.Counters, Asked)
		t.Sets = append(t.Sets, b.askable(f))
	}
	if f == IPv4Family || len(b.others()) > 0 {
		t.Sets = append(t.Sets, b.nodes())
	}
	t.Chains = append(t.Chains, b.balance(f), b.ahead(f), b.opening(f), b.input(f), b.answers(f), b.toBackends(f))
}

// balance keeps what is to be balanced out of conntrack: it belongs to flows of which this host sees one direction.
func (b *builder) balance(f Family) Chain {
	c := Chain{Name: chainBalance, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityRaw}}
	if !b.t.Hypervisor {
		c.Rules = []Rule{rule(f, notrack())}
		return c
	}
	// What a node has sent here is a backend's, and is tracked.
	c.Rules = append(c.Rules, rule(f, forBackend(), accept()))
	if f == IPv4Family {
		c.Rules = append(c.Rules, rule(f, all(syncMessage(), notrack())...))
	}
	for _, device := range b.entrances() {
		c.Rules = append(c.Rules,
			rule(f, inDevice(device), toSocket(f, setListeners), notrack()),
			rule(f, all(inDevice(device), echoRequest(f), destination(f, setListening), notrack())...))
	}
	return c
}

// entrances are the devices that packets from outside come by.
func (b *builder) entrances() []string {
	if b.t.Edge {
		return []string{b.vx, topology.UplinkDevice}
	}
	return []string{b.vx}
}

// maxOpening is how many TCP connections a node begins for a tenant and a family in a second, and at once. IPVS keeps an entry of about
// 300 bytes for 60 s for each that is never completed (ip_vs_proto_tcp.c, IP_VS_TCP_S_SYN_RECV), and has no limit but memory: a
// flood with forged sources has 610 000 entries, less than 200 MB.
const maxOpening = 10_000

// maxAsked is how many packets a node passes on to the others in a second, and at once.
const maxAsked = 10_000

// ahead is in front of IPVS. What opens no connection passes with one comparison, or two.
func (b *builder) ahead(f Family) Chain {
	c := Chain{Name: chainAhead, Base: &Base{Type: "filter", Hook: Input, Priority: priorityAhead}}
	if len(b.abandoned(f).Elements) > 0 {
		// IPVS would answer with an ICMP error, which a connection that is open does not end by (RFC 5461 section 4).
		c.Rules = append(c.Rules, rule(f, toSocket(f, setAbandoned), count(Closed), resetConnection()))
	}
	c.Rules = append(c.Rules, rule(f, all(opensConnection(), jump(chainOpening))...))
	return c
}

func (b *builder) abandoned(f Family) Set {
	return b.listeners(f, setAbandoned, func(lb topology.Balancer, l config.Listener) bool {
		return l.Protocol == config.TCP && !slices.ContainsFunc(lb.Backends, func(b topology.Backend) bool { return !b.Down })
	})
}

// opening resets new connections that no backend is there for, which IPVS would answer with an ICMP error as for UDP, and drops
// those that are too many at a time.
func (b *builder) opening(f Family) Chain {
	return Chain{Name: chainOpening, Rules: []Rule{
		rule(f, toSocket(f, setClosed), count(Closed), resetConnection()),
		rule(f, toSocket(f, setListeners), limitOver(maxOpening), count(Flooded), drop()),
	}}
}

// input is behind IPVS.
func (b *builder) input(f Family) Chain {
	c := Chain{Name: chainInput, Base: &Base{Type: "filter", Hook: Input, Priority: priorityInput}}
	if f == IPv4Family {
		c.Rules = append(c.Rules,
			rule(f, all(inDevice(b.vx), isEthernet(), etherSource(setNodes), syncMessage(), accept())...),
			rule(f, all(syncMessage(), count(Unbalanced), drop())...))
	}
	c.Rules = append(c.Rules, rule(f, all(echoRequest(f), destination(f, setListening), accept())...))
	if len(b.others()) > 0 {
		c.Rules = append(c.Rules,
			// Nobody asks for another, or a packet that no node knows would go round.
			rule(f, isEthernet(), etherSource(setNodes), toSocket(f, setListeners), count(Unbalanced), drop()),
			// IPVS begins no flow from FTP's data port (ip_vs_schedule), on whichever node.
			rule(f, all(toSocket(f, setListeners), fromFTPData(), count(Unbalanced), drop())...),
			// Resets it never schedules (tcp_conn_schedule), so they are asked about at all times. Whoever sends many shall not get as
			// many copies.
			rule(f, toSocket(f, setListeners), carriesTCP(), limitOver(maxAsked), count(Unbalanced), drop()),
			// For some seconds after its backends have changed, IPVS takes no flow that it does not know. A node that knows it sends
			// the packet to the flow's backend, and tells the others of the flow.
			rule(f, toSocket(f, setListeners), carriesTCP(), count(Asked), b.ask(), drop()))
	}
	return Chain{Name: c.Name, Base: c.Base, Rules: append(c.Rules,
		rule(f, toSocket(f, setListeners), count(Unbalanced), drop()),
		rule(f, destination(f, setListening), goTo(chainUnowned)))}
}

// others are the tenant's other nodes, without those that nothing is heard of.
func (b *builder) others() []topology.Peer {
	return topology.Present(slices.DeleteFunc(b.t.Nodes(), func(p topology.Peer) bool { return p.ID == b.t.Self.ID }))
}

// askable numbers the nodes to ask.
func (b *builder) askable(f Family) Set {
	s := Set{Name: mapOthers, Key: Type{Mark}, Data: f.address(), Elements: make(map[string]string)}
	for i, p := range b.others() {
		to := p.IPv4
		if f == IPv6Family {
			to = p.IPv6
		}
		s.Elements[string(Value{}.slot(i))] = key(to)
	}
	return s
}

// dup to numgen inc mod COUNT map @others device DEVICE
//
// One node at a time: a backend that got a copy from each would take repeated acknowledgements for a loss (RFC 5681 section 3.2). In
// turn, as a flow that has just begun is known to one of them alone: TCP sends again, and the next one is asked.
func (b *builder) ask() statement {
	n := len(b.others())
	return statement{
		text: fmt.Sprintf("dup to numgen inc mod %d map @%s device %q", n, mapOthers, b.vx),
		expressions: append(says("",
			&expr.Numgen{Register: reg1, Modulus: uint32(n), Type: unix.NFT_NG_INCREMENTAL},
			&expr.Lookup{SourceRegister: reg1, DestRegister: reg2, IsDestRegSet: true, SetName: mapOthers}).expressions,
			loadIndex{b.vx, reg3}, plain{&expr.Dup{RegAddr: reg2, RegDev: reg3, IsRegDevSet: true}}),
	}
}

// nodeOutput lets a node's packets out: those that IPVS sends to backends and the node's own answers.
func (b *builder) nodeOutput(f Family) []Rule {
	if !b.balances(f) {
		return nil
	}
	rules := []Rule{
		rule(f, destination(f, setListening), nexthopIn(f, setDestinations), accept()),
		rule(f, destination(f, setListening), nexthopWithin(topology.BackendPrefix(b.t.Overlay, f == IPv4Family)), goTo(chainBackend)),
		rule(f, destination(f, setListening), outDevice(b.vx), accept()),
		rule(f, source(f, setListening), accept()),
	}
	if b.loops() {
		rules = append(rules, rule(f, destination(f, setListening), outDevice(topology.HandoverDevice), accept()))
	}
	if f == IPv4Family {
		rules = append(rules, rule(f, all(outDevice(b.vx), syncMessage(), accept())...))
	}
	if b.nats(f) && !b.t.Hypervisor {
		// A redirected datagram.
		rules = append(rules, rule(f, ctState("untracked", stateUntracked), accept()))
	}
	return rules
}

// toBackends is for what IPVS sends to a backend that is none here. Another node that knew it has told of a flow, and without a
// destination of its own IPVS keeps that flow for as long as packets come (ip_vs_proc_conn; expire_nodest_conn does not apply).
//
// Numbers are not used again: one that the tenant has had is of a backend that is gone, and so is the flow. A higher one is of a backend
// that this node will hear of, and the sender will try again.
func (b *builder) toBackends(f Family) Chain {
	last := topology.BackendAddress(b.t.Overlay, b.t.LastBackend, f == IPv4Family)
	return Chain{Name: chainBackend, Rules: []Rule{
		rule(f, nexthopAbove(last), count(Unbalanced), drop()),
		rule(f, carriesTCP(), count(Departed), resetConnection()),
		rule(f, count(Departed), drop()),
	}}
}

// destinations are the addresses of backends that IPVS has for destinations.
func (b *builder) destinations(f Family) Set {
	s := set(setDestinations, f.address())
	for _, lb := range b.balancers(f) {
		for _, backend := range lb.Backends {
			if !backend.Down {
				s.Elements[key(backend.Address)] = ""
			}
		}
	}
	return s
}

// answers keeps what a node says itself out of conntrack, and so out of source NAT.
func (b *builder) answers(f Family) Chain {
	c := Chain{
		Name: chainAnswers, Base: &Base{Type: "filter", Hook: Output, Priority: priorityRaw},
		// To an address of its own it says it to a VM behind the NAT gateway.
		Rules: []Rule{rule(f, source(f, setListening), destinationNot(f, setListening), notrack())},
	}
	if f == IPv4Family {
		c.Rules = append(c.Rules, rule(f, all(syncMessage(), notrack())...))
	}
	return c
}

// meta mark & 0x08000000 != 0x00000000
func forBackend() statement {
	s := notForBackend()
	return says(fmt.Sprintf("meta mark & %#08x != 0x00000000", uint32(backendMark)), s.expressions[0].(plain).Any, s.expressions[1].(plain).Any,
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{0, 0, 0, 0}})
}

// icmp type echo-request / icmpv6 type echo-request
func echoRequest(f Family) []statement {
	if f == IPv6Family {
		return all(icmpv6("echo-request", icmpv6EchoRequest))
	}
	return icmp("echo-request", icmpEchoRequest)
}

// icmpv6EchoRequest is RFC 4443 section 4.1's.
const icmpv6EchoRequest = 128

// ip daddr 224.0.0.81 udp dport 8848
func syncMessage() []statement {
	return all(
		says("ip daddr "+topology.SyncGroup.String(), network(16, 4, reg1), equal(topology.SyncGroup.AsSlice()...)),
		carries(unix.IPPROTO_UDP),
		says(fmt.Sprintf("udp dport %d", topology.SyncPort), transport(2, 2, reg1), equal(topology.SyncPort>>8, topology.SyncPort&0xff)))
}

// meta l4proto tcp
func carriesTCP() statement {
	return says("meta l4proto tcp", &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, equal(unix.IPPROTO_TCP))
}

// tcp sport 20
func fromFTPData() []statement {
	return all(carries(unix.IPPROTO_TCP), says("tcp sport 20", transport(0, 2, reg1), equal(0, 20)))
}

// tcp flags syn / syn,rst: what IPVS begins a connection for, be it an answer too or an end (tcp_conn_schedule).
func opensConnection() []statement {
	return all(carries(unix.IPPROTO_TCP), says("tcp flags syn / syn,rst", transport(13, 1, reg1), mask(reg1, 0x06), equal(0x02)))
}

// reject with tcp reset
func resetConnection() statement {
	return says("reject with tcp reset", &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
}
