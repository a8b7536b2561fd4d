package portmap

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"pgregory.net/rapid"
)

// provable returns a fleet of two tenants and its lock: acme with hosts hv1 and hv2, beta with interfaces vm-a and vm-b.
func provable(t *testing.T) (*config.Fleet, *Lock) {
	f := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(1024, addrA, addrB))
	f.Tenants[0].LoadBalancers = listening(443, 3072)
	f.Tenants[0].LoadBalancers[0].Backends = []config.Backend{{Interface: "vm-a"}, {Interface: "vm-b"}}
	f.Tenants = append(f.Tenants, config.Tenant{
		Name: "beta", Interfaces: someInterfaces("vm-a@hv1 vm-b@hv2"), NATGateway: perInterface(128, addrB.Next()),
	})
	return f, clone(t, mustAllocate(t, nil, f))
}

func TestProve(t *testing.T) {
	type claims = []Claim
	for _, test := range []struct {
		name    string
		corrupt func(f *config.Fleet, l *Lock, acme, beta claims)
		want    string
	}{
		{"two hosts", func(_ *config.Fleet, _ *Lock, acme, _ claims) { acme[1].Blocks = someBlocks("23:1472-2495") },
			"one-owner: port 1472 of 45.86.152.23 belongs to host hv1 and host hv2 of tenant acme"},
		{"active and retired", func(_ *config.Fleet, _ *Lock, acme, _ claims) { acme[0].Retired = someBlocks("23:3008-3071") },
			"one-owner: port 3008 of 45.86.152.23 belongs to host hv2 and host hv1 of tenant acme"},
		{"own block", func(_ *config.Fleet, _ *Lock, acme, _ claims) { acme[0].Retired = someBlocks("23:1984-2047") },
			"one-owner: port 1984 of 45.86.152.23 belongs to host hv1 of tenant acme twice"},
		{"a large one over several", func(_ *config.Fleet, _ *Lock, acme, beta claims) { beta[0].Retired = someBlocks("23:1024-65535") },
			"one-owner: port 2048 of 45.86.152.23 belongs to interface vm-a of tenant beta and host hv2 of tenant acme"},
		{"a large one over two that are apart", func(_ *config.Fleet, _ *Lock, acme, _ claims) {
			acme[0].Blocks, acme[1].Retired = someBlocks("23:1024-4159"), someBlocks("23:3136-3199")
		}, "one-owner: port 3136 of 45.86.152.23 belongs to host hv1 and host hv2 of tenant acme"},
		{"two tenants, apart", func(_ *config.Fleet, _ *Lock, _, beta claims) { beta[0].Retired = someBlocks("23:4096-4159") },
			"one-tenant: 45.86.152.23 has blocks of tenant acme and tenant beta"},
		{"two tenants declare", func(f *config.Fleet, _ *Lock, _, _ claims) {
			f.Tenants[1].VirtualIPs = []config.VirtualIP{{Addresses: []netip.Addr{addrB}}}
		}, "one-tenant: 45.86.152.24 belongs to tenant acme and tenant beta"},
		{"foreign address", func(_ *config.Fleet, _ *Lock, _, beta claims) { beta[0].Blocks = someBlocks("99:1024-1151") },
			"tenant-address: interface vm-a of tenant beta has 45.86.152.99 1024-1151 (128 ports), which is not an address"},
		{"system ports", func(_ *config.Fleet, _ *Lock, _, beta claims) { beta[0].Blocks[0].First = 960 },
			"block-shape: block 45.86.152.25:960-1151 of interface vm-a of tenant beta"},
		{"not aligned", func(_ *config.Fleet, _ *Lock, acme, _ claims) { acme[0].Retired = []Block{{addrB, 2000, 2047}} },
			"block-shape: retired block 45.86.152.24:2000-2047 of host hv1 of tenant acme"},
		{"not a multiple", func(_ *config.Fleet, _ *Lock, _, beta claims) { beta[1].Blocks[0].Last-- },
			"block-shape: block 45.86.152.25:1152-1278 of"},
		{"backwards", func(_ *config.Fleet, _ *Lock, acme, _ claims) { acme[0].Retired = []Block{{addrB, 4096, 4095}} }, "block-shape:"},
		{"version 6", func(_ *config.Fleet, _ *Lock, acme, _ claims) {
			acme[0].Retired = []Block{{defaultOverlay.IPv6.Addr(), 4096, 4159}}
		}, "block-shape:"},
		{"too much", func(_ *config.Fleet, _ *Lock, _, beta claims) { beta[1].Blocks[0].Last += 64 },
			"promise: interface vm-b of tenant beta is promised 128 ports and has 192"},
		{"nothing", func(_ *config.Fleet, l *Lock, _, beta claims) { l.Tenants["beta"].Claims = beta[:1] },
			"promise: interface vm-b of tenant beta is promised 128 ports and has none"},
		{"no tenant", func(_ *config.Fleet, l *Lock, _, _ claims) { delete(l.Tenants, "beta") },
			"promise: interface vm-a of tenant beta is promised 128 ports and has none"},
		{"promised nothing", func(f *config.Fleet, _ *Lock, acme, _ claims) { f.Tenants[0].NATGateway.PortsPerHost = 0 },
			"promise: host hv1 of tenant acme is promised 0 ports and has 1024"},
		{"two addresses", func(_ *config.Fleet, _ *Lock, acme, _ claims) {
			acme[0].Blocks = someBlocks("23:1024-1535 24:1024-1535")
		},
			"one-address: host hv1 of tenant acme has 45.86.152.23 1024-1535 (512 ports) and 45.86.152.24 1024-1535 (512 ports)"},
		{"gone", func(f *config.Fleet, _ *Lock, _, _ claims) { f.Tenants[0].Interfaces = f.Tenants[0].Interfaces[:1] },
			"existing: host hv2 of tenant acme has blocks but does not exist"},
		{"gone tenant", func(f *config.Fleet, _ *Lock, _, _ claims) { f.Tenants = f.Tenants[:1] },
			"existing: tenant beta is in the lock but not in the fleet"},
		{"no gateway", func(f *config.Fleet, _ *Lock, _, _ claims) { f.Tenants[1].NATGateway = nil }, "tenant-address: interface vm-a of tenant beta"},
		{"unsorted", func(_ *config.Fleet, _ *Lock, acme, _ claims) { acme[0], acme[1] = acme[1], acme[0] },
			"claim-order: host hv1 follows host hv2"},
		{"twice", func(_ *config.Fleet, l *Lock, acme, _ claims) {
			l.Tenants["acme"].Claims = append(acme, Claim{Claimant: acme[1].Claimant, Retired: someBlocks("23:4096-4159")})
		}, "claim-order: host hv2 follows host hv2"},
		{"listener", func(f *config.Fleet, _ *Lock, _, _ claims) { f.Tenants[0].LoadBalancers[0].Listeners[0].Port = 2047 },
			"listener-is-free: port 2047 of load balancer web of tenant acme lies in 45.86.152.23 1024-2047 (1024 ports) of host hv1"},
		{"listener at the start", func(f *config.Fleet, _ *Lock, _, _ claims) { f.Tenants[0].LoadBalancers[0].Listeners[0].Port = 2048 },
			"listener-is-free: port 2048"},
		{"listener in the last block", func(f *config.Fleet, _ *Lock, acme, _ claims) {
			acme[0].Retired = someBlocks("23:65472-65535")
			f.Tenants[0].LoadBalancers[0].Listeners[0].Port = 65472
		}, "listener-is-free: port 65472"},
		{"host without id", func(_ *config.Fleet, l *Lock, _, _ claims) { delete(l.Hosts, "hv1") }, "host-id: host hv1 has no id"},
		{"stranger with id", func(_ *config.Fleet, l *Lock, _, _ claims) { l.Hosts["hv9"] = 9 }, "host-id: host hv9 has id 9 but"},
		{"same id", func(_ *config.Fleet, l *Lock, _, _ claims) { l.Hosts["hv2"] = 1 }, "host-id: id 1 belongs to host hv1 and host hv2"},
		{"id 0", func(_ *config.Fleet, l *Lock, _, _ claims) { l.Hosts["hv2"] = 0 }, "host-id: id 0 of host hv2 is not in 1-2097151"},
		{"large id", func(_ *config.Fleet, l *Lock, _, _ claims) { l.Hosts["hv2"] = 1 << 21 }, "host-id: id 2097152 of host hv2"},
		{"backend without number", func(_ *config.Fleet, l *Lock, _, _ claims) { delete(l.Tenants["acme"].Backends, "web/vm-a") },
			"backend-number: backend web/vm-a of tenant acme has no number"},
		{"stranger with number", func(_ *config.Fleet, l *Lock, _, _ claims) {
			l.Tenants["beta"].Backends = map[string]uint32{"web/vm-a": 2}
		},
			"backend-number: backend web/vm-a of tenant beta has number 2 but is not in the fleet"},
		{"same number", func(_ *config.Fleet, l *Lock, _, _ claims) { l.Tenants["acme"].Backends["web/vm-b"] = 1 },
			"backend-number: number 1 belongs to backend web/vm-a of tenant acme and backend web/vm-b of tenant acme"},
		{"number 0", func(_ *config.Fleet, l *Lock, _, _ claims) { l.Tenants["acme"].Backends["web/vm-b"] = 0 }, "backend-number: number 0 of"},
		{"number to come", func(_ *config.Fleet, l *Lock, _, _ claims) { l.NextBackend = 2 },
			"backend-number: number 2 of backend web/vm-b of tenant acme will be handed out again, the next is 2"},
		{"pieces", func(f *config.Fleet, _ *Lock, acme, _ claims) {
			f.Tenants[0].NATGateway.PortsPerHost = 65 * 64
			acme[0].Blocks = nil
			for i := range 65 {
				acme[0].Blocks = append(acme[0].Blocks, run{100 + 2*i, 101 + 2*i}.block(addrB))
			}
		}, "pieces: host hv1 of tenant acme has 65 blocks, more than the 64 slots"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, l := provable(t)
			test.corrupt(f, l, l.Tenants["acme"].Claims, l.Tenants["beta"].Claims)
			err := Prove(l, f)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("proof says:\n%v\nwant\n%s", err, test.want)
			}
			var v *Violation
			if !errors.As(err, &v) {
				t.Errorf("%T is not a violation", err)
			}
		})
	}
}

func TestProveStopsCounting(t *testing.T) {
	f := aFleet("hv1", "", nil)
	for range 100 {
		f.Hosts = append(f.Hosts, config.Host{Name: strings.Repeat("x", len(f.Hosts))})
	}
	if n := strings.Count(Prove(NewLock(), f).Error(), "\n") + 1; n != maxViolations {
		t.Errorf("%d counter-examples", n)
	}
}

// A damaged lock is refused, and every counter-example that names ports is true: its holders do hold them.
func TestProveFindsCorruption(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for range rapid.IntRange(3, 12).Draw(t, "edits") {
			w.edit(t)
		}
		lock := clone(t, w.lock)
		want := corrupt(t, lock)
		err := Prove(lock, w.fleet)
		if err == nil {
			t.Fatalf("%s is violated unnoticed", want)
		}
		found := false
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			var v *Violation
			if !errors.As(e, &v) {
				t.Fatalf("%v is not a violation", e)
			}
			found = found || v.Invariant == want
			if v.Invariant == OneOwner {
				for port := int(v.Block.First); port <= int(v.Block.Last); port++ {
					holders := holdersOf(lock, v.Block.Address, uint16(port))
					if len(holders) < 2 || !slices.Contains(holders, v.Holders[0]) || !slices.Contains(holders, v.Holders[1]) {
						t.Fatalf("%v, but port %d belongs to %v", v, port, holders)
					}
				}
			}
		}
		if !found {
			t.Fatalf("%s is violated, the proof says %v", want, err)
		}
	})
}

// holdersOf returns everybody who has the port, once for each block.
func holdersOf(lock *Lock, addr netip.Addr, port uint16) []Holder {
	var holders []Holder
	for name, tenant := range lock.Tenants {
		for _, c := range tenant.Claims {
			for _, b := range slices.Concat(c.Blocks, c.Retired) {
				if b.Contains(addr, port) {
					holders = append(holders, Holder{name, c.Claimant})
				}
			}
		}
	}
	return holders
}

// corrupt damages the lock in one way and returns the invariant that does not hold any more.
func corrupt(t *rapid.T, lock *Lock) Invariant {
	var claims []*Claim
	for _, tenant := range sortedNames(lock.Tenants) {
		for i := range lock.Tenants[tenant].Claims {
			if c := &lock.Tenants[tenant].Claims[i]; len(c.Blocks) > 0 {
				claims = append(claims, c)
			}
		}
	}
	if len(claims) == 0 {
		lock.Hosts["stranger"] = 1
		return HostIDs
	}
	a := rapid.SampledFrom(claims).Draw(t, "victim")
	b := rapid.SampledFrom(claims).Draw(t, "other")
	switch rapid.IntRange(0, 7).Draw(t, "corruption") {
	case 0: // one granule of another's, or of its own, once more
		stolen := rapid.SampledFrom(b.Blocks).Draw(t, "block")
		g := rapid.IntRange(stolen.run().first, stolen.run().end-1).Draw(t, "granule")
		a.Retired = append(a.Retired, run{g, g + 1}.block(stolen.Address))
		return OneOwner
	case 1:
		a.Blocks[0].First++
		return BlockShape
	case 2:
		a.Blocks[len(a.Blocks)-1].Last -= Granule - 1
		return BlockShape
	case 3:
		a.Blocks = a.Blocks[1:]
		return Promise
	case 4:
		a.Blocks[0].Address = netip.MustParseAddr("203.0.113.1")
		return TenantAddress
	case 5:
		a.Claimant = Claimant{Host: a.Claimant.Host + a.Claimant.Interface + "x"}
		return Existing
	case 6:
		a.Blocks = append(a.Blocks, a.Blocks[0])
		return OneOwner
	default:
		lock.Hosts["stranger"] = 1
		return HostIDs
	}
}
