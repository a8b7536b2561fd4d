package ipvs

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs/maglev"
)

// proof compares the kernel's choices with the replica's.
type proof struct {
	*rig
	*rand.Rand
	conn *conn
	// expected has the backend of each flow that was sent, the zero value for none.
	expected      map[flow]netip.AddrPort
	cases, others int
}

// TestProof asks the kernel for more than 10 000 choices: services with 1 to 40 backends of equal and unequal weights, zero among them, that come,
// drain, come back with another weight, go and come again, of both families and with every combination of flags.
func TestProof(t *testing.T) {
	r := newRig(t)
	const seed = 20260411
	p := &proof{rig: r, Rand: rand.New(rand.NewPCG(seed, 0)), conn: must(dial(r.ns)), expected: make(map[flow]netip.AddrPort)}
	defer p.conn.close()
	for n := range 130 {
		p.round(n)
		if n%5 == 4 {
			p.check()
		}
	}
	p.check()
	t.Logf("%d choices, %d of them nobody", p.cases, p.others)
	if p.cases < 10_000 || p.others == 0 {
		t.Error("too few cases")
	}
}

// round makes a service, changes it a number of times, asks for choices after each change, and removes it.
func (p *proof) round(n int) {
	is4 := p.IntN(2) == 0
	s := Service{
		Name:      Name{Protocol: config.UDP, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 99, byte(n >> 8), byte(n)}), uint16(1+p.IntN(65535)))},
		Scheduler: Scheduler, Flags: Flags,
	}
	if !is4 {
		b := netip.MustParseAddr("fd99::").As16()
		b[14], b[15] = byte(n>>8), byte(n)
		s.Address = netip.AddrPortFrom(netip.AddrFrom16(b), s.Address.Port())
	}
	if p.IntN(3) == 0 {
		s.Protocol = config.TCP
	}
	if p.IntN(3) == 0 {
		s.Flags = maglev.Flags(p.IntN(4)) << 3
	}
	p.ok(p.conn.service(Add, s))
	var backends []maglev.Backend
	for range 1 + p.IntN(1+p.IntN(40)) {
		backends = p.add(s, backends)
	}
	p.ask(s, backends, 20)
	for range 8 {
		backends = p.change(s, backends)
		p.ask(s, backends, 10)
	}
	p.ok(p.conn.service(Remove, s))
}

// change does one random thing to the service.
func (p *proof) change(s Service, backends []maglev.Backend) []maglev.Backend {
	if len(backends) == 0 {
		return p.add(s, backends)
	}
	i := p.IntN(len(backends))
	at := destinationOf(backends[i])
	switch p.IntN(5) {
	case 0:
		if len(backends) < 40 {
			return p.add(s, backends)
		}
		fallthrough
	case 1: // goes
		p.ok(p.conn.destination(Remove, s, at))
		return slices.Delete(backends, i, i+1)
	case 2: // goes and comes again, as the newest
		p.ok(p.conn.destination(Remove, s, at))
		again := maglev.Added(backends[i].Address, backends[i].Port, p.weight())
		p.ok(p.conn.destination(Add, s, destinationOf(again)))
		return append(slices.Delete(backends, i, i+1), again)
	case 3: // drains
		backends[i] = backends[i].Changed(0)
	default:
		backends[i] = backends[i].Changed(p.weight())
	}
	p.ok(p.conn.destination(Change, s, destinationOf(backends[i])))
	return backends
}

// add adds a new backend.
func (p *proof) add(s Service, backends []maglev.Backend) []maglev.Backend {
	for {
		b := maglev.Added(p.address(s.Address.Addr().Is4(), "100.96.0.0", "fd00:c0de::"), s.Address.Port(), p.weight())
		if slices.ContainsFunc(backends, func(o maglev.Backend) bool { return o.Address == b.Address }) {
			continue
		}
		if err := p.conn.destination(Add, s, destinationOf(b)); err != nil {
			p.Fatalf("add %s to %s: %v", destinationOf(b), s.Name, err)
		}
		return append(backends, b)
	}
}

func destinationOf(b maglev.Backend) Destination {
	return Destination{Address: netip.AddrPortFrom(b.Address, b.Port), Weight: b.Weight, Nominal: b.LastWeight}
}

func (p *proof) weight() int {
	switch p.IntN(4) {
	case 0:
		return 0
	case 1:
		return 1
	case 2:
		return 1 + p.IntN(10)
	default:
		return 1 + p.IntN(65535)
	}
}

// address draws an address of the family whose first bytes are the prefix's.
func (p *proof) address(is4 bool, prefix4, prefix6 string) netip.Addr {
	if is4 {
		b := netip.MustParseAddr(prefix4).As4()
		binary.BigEndian.PutUint16(b[2:], uint16(1+p.IntN(65000)))
		return netip.AddrFrom4(b)
	}
	b := netip.MustParseAddr(prefix6).As16()
	binary.BigEndian.PutUint32(b[8:], p.Uint32())
	binary.BigEndian.PutUint32(b[12:], p.Uint32())
	return netip.AddrFrom16(b)
}

// ask sends first packets of flows from random clients.
func (p *proof) ask(s Service, backends []maglev.Backend, count int) {
	table := maglev.New(backends, maglev.KernelSize)
	for range count {
		f := flow{s.Protocol, netip.AddrPortFrom(p.client(s.Address.Addr().Is4()), uint16(1+p.IntN(65535))), s.Address}
		if _, twice := p.expected[f]; twice {
			continue
		}
		p.expected[f] = netip.AddrPort{}
		if i, ok := table.Pick(f.client.Addr(), f.client.Port(), s.Flags); ok {
			p.expected[f] = netip.AddrPortFrom(backends[i].Address, backends[i].Port)
		} else {
			p.others++
		}
		p.cases++
		p.send(f, tcpSYN)
	}
}

func (p *proof) client(is4 bool) netip.Addr {
	a := p.address(is4, fmt.Sprintf("%d.%d.0.0", 20+p.IntN(60), p.IntN(256)), "2001:db8::")
	if is4 {
		return a
	}
	b := a.As16()
	binary.BigEndian.PutUint32(b[4:], p.Uint32())
	return netip.AddrFrom16(b)
}

// check compares what was expected with the kernel's connection table, and forgets it. A reader of the table may miss an entry
// while others end, so what is not found is looked for again.
func (p *proof) check() {
	p.Helper()
	for range 5 {
		bound, _ := p.connections()
		missing := make(map[flow]netip.AddrPort)
		for f, want := range p.expected {
			switch got := bound[f]; {
			case got == want:
			case !got.IsValid():
				missing[f] = want
			default:
				p.Errorf("%s from %s to %s: the kernel says %v, the replica %v", f.protocol, f.client, f.service, got, want)
			}
		}
		if p.expected = missing; len(missing) == 0 {
			return
		}
	}
	for f, want := range p.expected {
		p.Errorf("%s from %s to %s: the kernel says nobody, the replica %v", f.protocol, f.client, f.service, want)
	}
	clear(p.expected)
}

func (p *proof) ok(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}
