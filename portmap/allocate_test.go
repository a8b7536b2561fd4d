package portmap

import (
	"testing"

	"github.com/culvertnet/culvert/config"
)

// step changes the fleet and says what acme's claims are after it.
type step struct {
	name string
	edit func(f *config.Fleet, lock *Lock) *Lock // may return another lock to go on with
	want string
}

func gateway(gw *config.NATGateway) func(*config.Fleet, *Lock) *Lock {
	return func(f *config.Fleet, lock *Lock) *Lock { f.Tenants[0].NATGateway = gw; return lock }
}

func interfaces(words string) func(*config.Fleet, *Lock) *Lock {
	return func(f *config.Fleet, lock *Lock) *Lock { f.Tenants[0].Interfaces = someInterfaces(words); return lock }
}

func released(_ *config.Fleet, lock *Lock) *Lock {
	lock, err := Release(lock, "acme")
	if err != nil {
		panic(err)
	}
	return lock
}

func TestAllocate(t *testing.T) {
	for _, story := range []struct {
		name  string
		fleet *config.Fleet
		steps []step
	}{
		{"the text's example", aFleet("hv1 hv2 hv3", "vm-a@hv1 vm-b@hv2 vm-c@hv2", perHost(1024, addrA)), []step{
			{"first", nil, "host hv1: 23:1024-2047\n host hv2: 23:2048-3071"},
			{"a host more", interfaces("vm-a@hv1 vm-b@hv2 vm-c@hv2 vm-d@hv3"),
				"host hv1: 23:1024-2047\n host hv2: 23:2048-3071\n host hv3: 23:3072-4095"},
			{"the first leaves", interfaces("vm-b@hv2 vm-d@hv3"), "host hv2: 23:2048-3071\n host hv3: 23:3072-4095"},
			{"its ports are free", interfaces("vm-b@hv2 vm-d@hv3 vm-e@hv1"),
				"host hv1: 23:1024-2047\n host hv2: 23:2048-3071\n host hv3: 23:3072-4095"},
		}},
		{"growth in place", aFleet("hv1 hv2", "vm-a@hv1", perHost(1024, addrA)), []step{
			{"first", nil, "host hv1: 23:1024-2047"},
			{"the neighbour is free", gateway(perHost(2048, addrA)), "host hv1: 23:1024-3071"},
			{"a newcomer does not take it", func(f *config.Fleet, l *Lock) *Lock {
				f.Hosts[0], f.Hosts[1] = f.Hosts[1], f.Hosts[0]
				f.Tenants[0].NATGateway = perHost(4096, addrA)
				f.Tenants[0].Interfaces = someInterfaces("vm-a@hv1 vm-b@hv2")
				return l
			}, "host hv1: 23:1024-5119\n host hv2: 23:5120-9215"},
		}},
		{"growth between neighbours", aFleet("hv1 hv2 hv3", "vm-a@hv1 vm-b@hv2 vm-c@hv3", perHost(1024, addrA)), []step{
			{"first", nil, "host hv1: 23:1024-2047\n host hv2: 23:2048-3071\n host hv3: 23:3072-4095"},
			{"one leaves", interfaces("vm-a@hv1 vm-c@hv3"), "host hv1: 23:1024-2047\n host hv3: 23:3072-4095"},
			{"others grow", gateway(perHost(2112, addrA)), "host hv1: 23:1024-3071 23:5184-5247\n host hv3: 23:3072-5183"},
			{"and again, appending", gateway(perHost(2176, addrA)), "host hv1: 23:1024-3071 23:5184-5311\n host hv3: 23:3072-5183 23:5312-5375"},
		}},
		{"growth downward keeps the order of blocks", aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(1024, addrA)), []step{
			{"first", nil, "host hv1: 23:1024-2047\n host hv2: 23:2048-3071"},
			{"one leaves", interfaces("vm-b@hv2"), "host hv2: 23:2048-3071"},
			{"listeners take the room above", func(f *config.Fleet, l *Lock) *Lock {
				f.Tenants[0].NATGateway = perHost(1152, addrA)
				f.Tenants[0].LoadBalancers = listening(3072)
				return l
			}, "host hv2: 23:1920-3071"},
			{"a listener below too", func(f *config.Fleet, l *Lock) *Lock {
				f.Tenants[0].NATGateway = perHost(1280, addrA)
				f.Tenants[0].LoadBalancers = listening(3072, 1856)
				return l
			}, "host hv2: 23:1920-3071 23:1024-1151"},
		}},
		{"second address", aFleet("hv1 hv2 hv3", "vm-a@hv1 vm-b@hv2", perHost(32256, addrA)), []step{
			{"full", nil, "host hv1: 23:1024-33279\n host hv2: 23:33280-65535"},
			{"another host", func(f *config.Fleet, l *Lock) *Lock {
				f.Tenants[0].NATGateway = perHost(32256, addrA, addrB)
				f.Tenants[0].Interfaces = someInterfaces("vm-a@hv1 vm-b@hv2 vm-c@hv3")
				return l
			}, "host hv1: 23:1024-33279\n host hv2: 23:33280-65535\n host hv3: 24:1024-33279"},
			{"address order does not matter to what exists", gateway(perHost(32256, addrB, addrA)),
				"host hv1: 23:1024-33279\n host hv2: 23:33280-65535\n host hv3: 24:1024-33279"},
		}},
		{"growth to another address retires", aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(32256, addrA)), []step{
			{"full", nil, "host hv1: 23:1024-33279\n host hv2: 23:33280-65535"},
			{"grow", gateway(perHost(32320, addrA, addrB, addrB.Next())),
				"host hv1: 24:1024-33343 | 23:1024-33279\n host hv2: 25:1024-33343 | 23:33280-65535"},
			{"release", released, "host hv1: 24:1024-33343\n host hv2: 25:1024-33343"},
		}},
		{"shrink and grow back", aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(2048, addrA)), []step{
			{"first", nil, "host hv1: 23:1024-3071\n host hv2: 23:3072-5119"},
			{"shrink", gateway(perHost(1024, addrA)), "host hv1: 23:1024-2047 | 23:2048-3071\n host hv2: 23:3072-4095 | 23:4096-5119"},
			{"grow halfway", gateway(perHost(1536, addrA)), "host hv1: 23:1024-2559 | 23:2560-3071\n host hv2: 23:3072-4607 | 23:4608-5119"},
			{"grow beyond", gateway(perHost(2112, addrA)), "host hv1: 23:1024-3071 23:5184-5247\n host hv2: 23:3072-5183"},
			{"shrink, second block goes first", gateway(perHost(1984, addrA)),
				"host hv1: 23:1024-3007 | 23:3008-3071 23:5184-5247\n host hv2: 23:3072-5055 | 23:5056-5183"},
		}},
		{"mode switch there and back", aFleet("hv1", "vm-b@hv1 vm-a@hv1", perHost(1024, addrA)), []step{
			{"first", nil, "host hv1: 23:1024-2047"},
			{"per interface", gateway(perInterface(64, addrA)),
				"host hv1: | 23:1024-2047\n interface vm-a: 23:2112-2175\n interface vm-b: 23:2048-2111"},
			{"back, and more", gateway(perHost(1088, addrA)),
				"host hv1: 23:1024-2047 23:2176-2239\n interface vm-a: | 23:2112-2175\n interface vm-b: | 23:2048-2111"},
			{"an interface leaves with its retired blocks", interfaces("vm-a@hv1"),
				"host hv1: 23:1024-2047 23:2176-2239\n interface vm-a: | 23:2112-2175"},
			{"release", released, "host hv1: 23:1024-2047 23:2176-2239"},
		}},
		{"an interface moves", aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv1", perInterface(128, addrA)), []step{
			{"first", nil, "interface vm-a: 23:1024-1151\n interface vm-b: 23:1152-1279"},
			{"move", interfaces("vm-b@hv1 vm-a@hv2"), "interface vm-a: 23:1024-1151\n interface vm-b: 23:1152-1279"},
		}},
		{"an address leaves", aFleet("hv1", "vm-a@hv1", perHost(1024, addrA, addrB)), []step{
			{"first", nil, "host hv1: 23:1024-2047"},
			{"leave", gateway(perHost(1024, addrB)), "host hv1: 24:1024-2047"},
			{"come back", gateway(perHost(1024, addrA, addrB)), "host hv1: 24:1024-2047"},
			{"no gateway", gateway(nil), ""},
		}},
		{"listeners keep their granule", func() *config.Fleet {
			f := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(128, addrA))
			f.Tenants[0].LoadBalancers = listening(443, 1100, 1280)
			return f
		}(), []step{
			{"first", nil, "host hv1: 23:1152-1279\n host hv2: 23:1344-1471"},
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			var lock *Lock
			for _, s := range story.steps {
				t.Log(s.name)
				if lock != nil {
					lock = Settle(lock, nil)
				}
				if s.edit != nil {
					lock = s.edit(story.fleet, lock)
				}
				lock = mustAllocate(t, lock, story.fleet)
				wantClaims(t, lock, s.want)
				if diff := diffOf(lock, mustAllocate(t, lock, story.fleet)); diff != "" {
					t.Errorf("not idempotent:\n%s", diff)
				}
			}
		})
	}
}

// listening returns a load balancer on the first address.
func listening(ports ...uint16) []config.Balancer {
	lb := config.Balancer{Name: "web", Address: addrA}
	for _, p := range ports {
		lb.Listeners = append(lb.Listeners, config.Listener{Protocol: config.TCP, Port: p})
	}
	return []config.Balancer{lb}
}

// A host that is down keeps what it has.
func TestDownHostKeepsItsBlocks(t *testing.T) {
	f := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(1024, addrA))
	before := mustAllocate(t, nil, f)
	f.Hosts[0].State = config.Down
	if diff := diffOf(before, mustAllocate(t, before, f)); diff != "" {
		t.Errorf("marking a host down changed the lock:\n%s", diff)
	}
}

// A growing claimant that has retired blocks on another address goes back there rather than to a third.
func TestMoveReturnsToRetiredBlocks(t *testing.T) {
	f := aFleet("hv1", "vm-a@hv1", perHost(2048, addrA, addrB))
	old := NewLock()
	old.Hosts["hv1"] = 1
	old.Tenants["acme"] = &Tenant{Claims: []Claim{{
		Claimant: Claimant{Host: "hv1"},
		Blocks:   someBlocks("23:1024-2047"),
		Retired:  someBlocks("24:5120-6143"),
	}}}
	f.Tenants[0].LoadBalancers = listening(2048) // the neighbour of the active block, which goes on elsewhere
	wantClaims(t, mustAllocate(t, old, f), "host hv1: 23:1024-2047 23:2112-3135 | 24:5120-6143")

	old.Tenants["acme"].Claims = append(old.Tenants["acme"].Claims, Claim{
		Claimant: Claimant{Interface: "vm-a"}, Retired: someBlocks("23:2112-65535"),
	})
	wantClaims(t, mustAllocate(t, old, f), "host hv1: 24:5120-7167 | 23:1024-2047\n interface vm-a: | 23:2112-65535")
}

func TestAllocateLeavesOldAlone(t *testing.T) {
	f := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(2048, addrA))
	old := mustAllocate(t, nil, f)
	before := clone(t, old)
	f.Tenants[0].NATGateway = perInterface(1024, addrA)
	mustAllocate(t, old, f)
	f.Tenants[0].NATGateway = perHost(64, addrA)
	lock := mustAllocate(t, old, f)
	if _, err := Release(lock, "acme"); err != nil {
		t.Fatal(err)
	}
	if diff := diffOf(before, old); diff != "" {
		t.Errorf("the old lock changed:\n%s", diff)
	}
}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
}

// clone copies a lock by way of its text, which shares no memory.
func clone(t tester, lock *Lock) *Lock {
	t.Helper()
	data, err := Encode(lock)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := Decode("copy", data)
	if err != nil {
		t.Fatal(err)
	}
	return copied
}
