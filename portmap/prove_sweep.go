package portmap

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// span is a block as a sortable number: 32 bits of address, 16 bits of first and 16 bits of last port.
type span struct {
	key           uint64
	tenant, claim int32 // index in proof.names and in the tenant's claims
}

func (s span) first() uint64 { return s.key >> 16 } // with the address above it
func (s span) last() uint64  { return s.key>>32<<16 | s.key&0xffff }

// collect takes the block for the sweep if it has the right shape.
func (p *proof) collect(who Holder, b Block, tenant, claim int32, retired bool) {
	first, last := int(b.First), int(b.Last)
	if !b.Address.Is4() || first < 1024 || last < first || first&0x3f != 0 || last&0x3f != 0x3f {
		kind := "block"
		if retired {
			kind = "retired block"
		}
		p.about(BlockShape, who, b, "%s %s:%d-%d of %s is not an IPv4 address with ports from 1024 on, aligned to 64",
			kind, b.Address, b.First, b.Last, who)
		return
	}
	p.spans = append(p.spans, span{spanKey(b.Address, b.First, b.Last), tenant, claim})
}

func spanKey(addr netip.Addr, first, last uint16) uint64 {
	a4 := addr.As4()
	return uint64(binary.BigEndian.Uint32(a4[:]))<<32 | uint64(first)<<16 | uint64(last)
}

// sweep sorts all blocks and compares each with the one before it that reaches furthest.
func (p *proof) sweep() {
	slices.SortFunc(p.spans, func(a, b span) int { return cmp.Compare(a.key, b.key) })
	var far span
	for i, s := range p.spans {
		if i > 0 && s.first() <= far.last() {
			p.overlap(far, s)
		}
		if i > 0 && s.key>>32 == far.key>>32 && s.tenant != far.tenant {
			b, a, c := s.block(), p.holder(far), p.holder(s)
			p.violated(Violation{Invariant: OneTenant, Holders: []Holder{a, c}, Block: b,
				Detail: fmt.Sprintf("%s has blocks of tenant %s and tenant %s", b.Address, a.Tenant, c.Tenant)})
		}
		if i == 0 || s.last() > far.last() {
			far = s
		}
	}
}

// overlap reports two spans that share ports; b begins within a.
func (p *proof) overlap(a, b span) {
	shared := b.block()
	shared.Last = uint16(min(a.last(), b.last()))
	one, two := p.holder(a), p.holder(b)
	v := Violation{Invariant: OneOwner, Holders: []Holder{one, two}, Block: shared}
	switch {
	case one == two:
		v.Detail = fmt.Sprintf("port %d of %s belongs to %s twice", shared.First, shared.Address, one)
	case one.Tenant == two.Tenant:
		v.Detail = fmt.Sprintf("port %d of %s belongs to %s and %s of tenant %s", shared.First, shared.Address, one.Claimant, two.Claimant, one.Tenant)
	default:
		v.Detail = fmt.Sprintf("port %d of %s belongs to %s and %s", shared.First, shared.Address, one, two)
	}
	p.violated(v)
}

func (s span) block() Block {
	var a4 [4]byte
	binary.BigEndian.PutUint32(a4[:], uint32(s.key>>32))
	return Block{Address: netip.AddrFrom4(a4), First: uint16(s.key >> 16), Last: uint16(s.key)}
}

func (p *proof) holder(s span) Holder {
	name := p.names[s.tenant]
	return Holder{name, p.lock.Tenants[name].Claims[s.claim].Claimant}
}

// freed looks for each freed block in the sorted spans.
func (p *proof) freed() {
	for _, tenant := range slices.Sorted(maps.Keys(p.lock.Tenants)) {
		for _, f := range p.lock.Tenants[tenant].Freed {
			// Spans do not overlap, or that was found.
			last := spanKey(f.Block.Address, f.Block.Last, 0xffff)
			i, _ := slices.BinarySearchFunc(p.spans, last, func(s span, k uint64) int { return cmp.Compare(s.key, k+1) })
			if i > 0 && p.spans[i-1].last() >= spanKey(f.Block.Address, f.Block.First, 0)>>16 {
				who := p.holder(p.spans[i-1])
				p.about(NotYet, who, f.Block, "%s has ports of %s, which %s of tenant %s gave up and may still use", who, f.Block, f.Claimant, tenant)
			}
		}
	}
}

// otherUses looks for virtual IPs and listeners in what was given up.
func (p *proof) otherUses() {
	freed := p.lock.freedAt()
	if len(freed) == 0 {
		return
	}
	for _, u := range uses(p.fleet) {
		for _, f := range freed[u.addr] {
			if u.touches(f.owner, f.Block) {
				p.violated(Violation{Invariant: NotYet, Block: f.Block, Detail: fmt.Sprintf("%s of tenant %s comes to %s, which %s of tenant %s gave up and may still use",
					u.what, u.tenant, f.Block, f.Claimant, f.owner)})
			}
		}
	}
}

// listeners looks for each listener's port in the sorted spans.
func (p *proof) listeners() {
	for _, t := range p.fleet.Tenants {
		for _, lb := range t.LoadBalancers {
			if !lb.Address.Is4() {
				continue
			}
			for _, l := range lb.Listeners {
				want := spanKey(lb.Address, l.Port, 0xffff)
				i, _ := slices.BinarySearchFunc(p.spans, want, func(s span, k uint64) int { return cmp.Compare(s.key, k+1) })
				if i == 0 || p.spans[i-1].last() < want>>16 {
					continue
				}
				b, who := p.spans[i-1].block(), p.holder(p.spans[i-1])
				p.about(FreeListeners, who, b, "port %d of load balancer %s of tenant %s lies in %s of %s", l.Port, lb.Name, t.Name, b, who)
			}
		}
	}
}
