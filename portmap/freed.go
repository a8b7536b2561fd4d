package portmap

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
)

// Freed is a block that was given up and is nobody's yet. Hosts that have not heard of it go on as before: the old owner
// answers for its ports, and its flows use them. So nobody gets them before it has heard, and has ended those flows
// ([Settle]). Two hosts would use the same port of the same address, and a packet for one VM could reach another.
type Freed struct {
	Block Block
	// Claimant is who gave the block up.
	Claimant Claimant
	// After is the generation of the fleet that was replaced when the block was given up: whoever holds a later one has heard of
	// it. 0 where generations are not numbered.
	After int64
}

func compareFreed(a, b Freed) int {
	return cmp.Or(a.Block.Compare(b.Block), a.Claimant.Compare(b.Claimant), cmp.Compare(a.After, b.After))
}

// Settle returns a lock without the freed blocks for which settled is true: the next allocation may hand them out. nil is true for
// all. old stays as it is.
func Settle(old *Lock, settled func(Freed) bool) *Lock {
	lock := *old
	lock.Tenants = maps.Clone(old.Tenants)
	for name, t := range old.Tenants {
		if len(t.Freed) == 0 {
			continue
		}
		kept := *t
		kept.Freed = nil
		for _, f := range t.Freed {
			if settled != nil && !settled(f) {
				kept.Freed = append(kept.Freed, f)
			}
		}
		lock.put(name, &kept)
	}
	return &lock
}

// Date returns a lock in which what was freed since the old one was so after a generation, by the hosts that the claimants were on in
// the fleet of then. next stays as it is.
func Date(oldFleet *config.Fleet, old, next *Lock, after int64) *Lock {
	lock := *next
	lock.Tenants = maps.Clone(next.Tenants)
	for name, t := range next.Tenants {
		var before []Freed
		if was := old.Tenants[name]; was != nil {
			before = was.Freed
		}
		if len(t.Freed) == 0 {
			continue
		}
		dated := *t
		dated.Freed = slices.Clone(t.Freed)
		for i := range dated.Freed {
			if f := &dated.Freed[i]; !slices.Contains(before, *f) {
				f.After = after
				if host := hostOf(oldFleet, name, f.Claimant); host != "" {
					f.Claimant = Claimant{Host: host}
				}
			}
		}
		lock.Tenants[name] = &dated
	}
	return &lock
}

// hostOf finds the host of a tenant's claimant, empty if it has none.
func hostOf(fleet *config.Fleet, tenant string, who Claimant) string {
	if who.Host != "" {
		return who.Host
	}
	for i := range fleet.Tenants {
		for _, nic := range fleet.Tenants[i].Interfaces {
			if fleet.Tenants[i].Name == tenant && nic.Name == who.Interface {
				return nic.Host
			}
		}
	}
	return ""
}

// put sets a tenant's part, or removes it if the tenant owns nothing.
func (l *Lock) put(name string, t *Tenant) {
	if t.empty() {
		delete(l.Tenants, name)
	} else {
		l.Tenants[name] = t
	}
}

func (t *Tenant) empty() bool { return len(t.Claims)+len(t.Freed) == 0 && t.Numbered() == 0 }

// free notes in the lock what the old one's claimants do not have any more, beside what was freed before.
func (l *Lock) free(old *Lock) {
	for name, was := range old.Tenants {
		freed := was.Freed
		for _, c := range was.Claims {
			now, _ := l.Tenants[name].Claim(c.Claimant)
			for _, b := range lost(c, now) {
				freed = append(freed[:len(freed):len(freed)], Freed{Block: b, Claimant: c.Claimant})
			}
		}
		if len(freed) == 0 {
			continue
		}
		t := &Tenant{Freed: freed}
		if is := l.Tenants[name]; is != nil {
			*t = *is
			t.Freed = freed
		}
		if !slices.IsSortedFunc(t.Freed, compareFreed) {
			t.Freed = slices.SortedFunc(slices.Values(t.Freed), compareFreed)
		}
		l.Tenants[name] = t
	}
}

// lost returns what a claim was and is not any more, active or retired.
func lost(was, now Claim) []Block {
	if slices.Equal(was.Blocks, now.Blocks) && slices.Equal(was.Retired, now.Retired) {
		return nil
	}
	all, is := merge(was.Blocks, was.Retired), merge(now.Blocks, now.Retired)
	for _, b := range is {
		all = without(all, b.Address, on([]Block{b}, b.Address))
	}
	return all
}

// held are the blocks that are not to be handed out, by address: what was freed before, and what the old lock gave to another tenant
// than has the address now.
func held(old *Lock, fleet *config.Fleet) map[netip.Addr][]Block {
	out := make(map[netip.Addr][]Block)
	tenants := make(map[netip.Addr]string, len(fleet.Tenants))
	for i := range fleet.Tenants {
		if gateway := fleet.Tenants[i].NATGateway; gateway != nil {
			for _, a := range gateway.Addresses {
				tenants[a] = fleet.Tenants[i].Name
			}
		}
	}
	for name, t := range old.Tenants {
		for _, f := range t.Freed {
			out[f.Block.Address] = append(out[f.Block.Address], f.Block)
		}
		for _, c := range t.Claims {
			for _, blocks := range [2][]Block{c.Blocks, c.Retired} {
				for _, b := range blocks {
					if now := tenants[b.Address]; now != "" && now != name {
						out[b.Address] = append(out[b.Address], b)
					}
				}
			}
		}
	}
	return out
}

// Same reports whether two locks hand out the same, whatever was freed.
func Same(a, b *Lock) bool {
	one, two := Settle(a, nil), Settle(b, nil)
	if one.NextHost != two.NextHost || one.NextBackend != two.NextBackend || !maps.Equal(one.Hosts, two.Hosts) {
		return false
	}
	return maps.EqualFunc(one.Tenants, two.Tenants, func(a, b *Tenant) bool {
		return maps.Equal(a.Backends, b.Backends) && slices.EqualFunc(a.Claims, b.Claims, func(a, b Claim) bool {
			return a.Claimant == b.Claimant && slices.Equal(a.Blocks, b.Blocks) && slices.Equal(a.Retired, b.Retired)
		})
	})
}
