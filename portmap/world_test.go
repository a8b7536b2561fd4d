package portmap

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/config"
	"pgregory.net/rapid"
)

// world is a fleet that is edited at random and its lock.
type world struct {
	fleet *config.Fleet
	lock  *Lock
	addr  netip.Addr // the next that nobody has
	names int        // that were given
	kept  int        // edits that were not undone
}

func newWorld() *world {
	return &world{fleet: &config.Fleet{Overlay: defaultOverlay}, lock: NewLock(), addr: netip.MustParseAddr("45.0.0.0")}
}

func (w *world) name(prefix string) string {
	w.names++
	return fmt.Sprint(prefix, w.names)
}

func (w *world) address() netip.Addr {
	a := w.addr
	w.addr = a.Next()
	return a
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// copyFleet copies what edits change.
func copyFleet(f *config.Fleet) *config.Fleet {
	c := *f
	c.Hosts, c.Tenants = slices.Clone(f.Hosts), slices.Clone(f.Tenants)
	for i := range c.Tenants {
		t := &c.Tenants[i]
		t.Interfaces, t.LoadBalancers = slices.Clone(t.Interfaces), slices.Clone(t.LoadBalancers)
		if t.NATGateway != nil {
			gw := *t.NATGateway
			gw.Addresses = slices.Clone(gw.Addresses)
			t.NATGateway = &gw
		}
		for j := range t.LoadBalancers {
			lb := &t.LoadBalancers[j]
			lb.Listeners, lb.Backends = slices.Clone(lb.Listeners), slices.Clone(lb.Backends)
		}
	}
	return &c
}

// edit changes the fleet once and allocates; a change that does not fit is undone.
func (w *world) edit(t *rapid.T) {
	before := copyFleet(w.fleet)
	w.change(t)
	lock, err := Allocate(w.lock, w.fleet)
	if err != nil {
		w.checkRemedy(t, err)
		w.fleet = before
		return
	}
	if err := Prove(lock, w.fleet); err != nil {
		t.Fatalf("proof: %v", err)
	}
	w.checkStable(t, before, lock)
	checkHandOver(t, w.lock, lock)
	w.lock = lock
	w.kept++
}

// change makes one edit that leaves the fleet valid.
func (w *world) change(t *rapid.T) {
	f := w.fleet
	if len(f.Hosts) == 0 || len(f.Tenants) == 0 {
		f.Hosts = append(f.Hosts, config.Host{Name: w.name("hv")})
		w.addTenant(t)
		return
	}
	tenant := &f.Tenants[rapid.IntRange(0, len(f.Tenants)-1).Draw(t, "tenant")]
	host := rapid.IntRange(0, len(f.Hosts)-1).Draw(t, "host")
	what := rapid.SampledFrom([]string{
		"add host", "remove host", "down", "shuffle", "add tenant", "remove tenant", "remove gateway",
		"add interface", "add interface", "add interface", "remove interface", "move interface",
		"add address", "remove address", "ports", "ports", "ports", "mode", "listener", "backend", "release", "settle", "settle",
	}).Draw(t, "edit")
	switch what {
	case "add host":
		f.Hosts = append(f.Hosts, config.Host{Name: w.name("hv")})
	case "remove host":
		name := f.Hosts[host].Name
		f.Hosts = slices.Delete(f.Hosts, host, host+1)
		for i := range f.Tenants {
			tn := &f.Tenants[i]
			tn.Interfaces = slices.DeleteFunc(tn.Interfaces, func(i config.Interface) bool { return i.Host == name })
			dropBackends(tn)
		}
	case "down":
		f.Hosts[host].State = config.Down
	case "shuffle":
		f.Hosts = rapid.Permutation(f.Hosts).Draw(t, "hosts")
		f.Tenants = rapid.Permutation(f.Tenants).Draw(t, "tenants")
	case "add tenant":
		w.addTenant(t)
	case "remove tenant":
		name := tenant.Name
		f.Tenants = slices.DeleteFunc(f.Tenants, func(t config.Tenant) bool { return t.Name == name })
	case "release":
		if w.lock.Tenants[tenant.Name] != nil {
			released, _ := Release(w.lock, tenant.Name)
			checkHandOver(t, w.lock, released)
			w.lock = released
		}
	case "settle":
		w.lock = Settle(w.lock, func(f Freed) bool { return rapid.Bool().Draw(t, "settled") })
	default:
		w.changeTenant(t, tenant, f.Hosts[host].Name, what)
	}
}

func (w *world) changeTenant(t *rapid.T, tenant *config.Tenant, host, what string) {
	gw := tenant.NATGateway
	pick := rapid.IntRange(0, max(0, len(tenant.Interfaces)-1)).Draw(t, "interface")
	switch {
	case what == "remove gateway":
		tenant.NATGateway = nil
	case what == "add interface":
		for range rapid.IntRange(1, 5).Draw(t, "how many") {
			tenant.Interfaces = append(tenant.Interfaces, config.Interface{Name: w.name("vm"), Host: host})
		}
	case what == "remove interface" && len(tenant.Interfaces) > 0:
		tenant.Interfaces = slices.Delete(tenant.Interfaces, pick, pick+1)
		dropBackends(tenant)
	case what == "move interface" && len(tenant.Interfaces) > 0:
		tenant.Interfaces[pick].Host = host
	case what == "backend" && len(tenant.Interfaces) > 0:
		lb := &tenant.LoadBalancers[0]
		be := config.Backend{Interface: tenant.Interfaces[pick].Name}
		if !slices.Contains(lb.Backends, be) {
			lb.Backends = append(lb.Backends, be)
		}
	case gw == nil:
		tenant.NATGateway = w.gateway(t)
	case what == "add address":
		gw.Addresses = append(gw.Addresses, w.address())
	case what == "remove address":
		i := rapid.IntRange(0, len(gw.Addresses)-1).Draw(t, "address")
		gw.Addresses = slices.Delete(gw.Addresses, i, i+1)
		if len(gw.Addresses) == 0 {
			gw.Addresses = append(gw.Addresses, w.address())
		}
	case what == "ports" && gw.PortsPerHost > 0:
		gw.PortsPerHost = drawPorts(t)
	case what == "ports":
		gw.PortsPerInterface = drawPorts(t)
	case what == "mode":
		gw.PortsPerHost, gw.PortsPerInterface = gw.PortsPerInterface, gw.PortsPerHost
	case what == "listener":
		lb := &tenant.LoadBalancers[0]
		lb.Address = rapid.SampledFrom(gw.Addresses).Draw(t, "address")
		lb.Listeners = append(lb.Listeners, config.Listener{Protocol: config.TCP, Port: rapid.Uint16Min(1).Draw(t, "port")})
	}
}

func dropBackends(t *config.Tenant) {
	for i := range t.LoadBalancers {
		lb := &t.LoadBalancers[i]
		lb.Backends = slices.DeleteFunc(lb.Backends, func(b config.Backend) bool {
			return !slices.ContainsFunc(t.Interfaces, func(i config.Interface) bool { return i.Name == b.Interface })
		})
	}
}

func drawPorts(t *rapid.T) int {
	return Granule * rapid.OneOf(rapid.IntRange(1, 8), rapid.IntRange(1, 200), rapid.IntRange(1, 1008)).Draw(t, "granules")
}

func (w *world) gateway(t *rapid.T) *config.NATGateway {
	gw := perHost(drawPorts(t), w.address())
	if rapid.Bool().Draw(t, "per interface") {
		gw.PortsPerHost, gw.PortsPerInterface = 0, gw.PortsPerHost
	}
	return gw
}

func (w *world) addTenant(t *rapid.T) {
	tenant := config.Tenant{Name: w.name("t"), NATGateway: w.gateway(t)}
	tenant.LoadBalancers = []config.Balancer{{Name: "web", Address: tenant.NATGateway.Addresses[0]}}
	for range rapid.IntRange(0, 4).Draw(t, "interfaces") {
		host := rapid.SampledFrom(w.fleet.Hosts).Draw(t, "host").Name
		tenant.Interfaces = append(tenant.Interfaces, config.Interface{Name: w.name("vm"), Host: host})
	}
	w.fleet.Tenants = append(w.fleet.Tenants, tenant)
}

// checkRemedy does what the error says and expects success.
func (w *world) checkRemedy(t *rapid.T, err error) {
	fleet := copyFleet(w.fleet)
	lock := w.lock
	for _, e := range unjoin(err) {
		var s *Shortage
		for i := range fleet.Tenants {
			tn := &fleet.Tenants[i]
			if errors.As(e, &s) && s.Tenant == tn.Name {
				tn.NATGateway.Addresses = append(tn.NATGateway.Addresses, w.address())
			}
			if s == nil { // a listener in a block
				tn.LoadBalancers[0].Listeners = nil
			}
		}
	}
	if _, err := Allocate(lock, fleet); err != nil {
		t.Fatalf("the remedy does not help: %v", err)
	}
}

func unjoin(err error) []error {
	j, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range j.Unwrap() {
		all = append(all, unjoin(e)...)
	}
	return all
}

// checkStable compares the lock with the one before: what may stay has stayed.
func (w *world) checkStable(t *rapid.T, before *config.Fleet, lock *Lock) {
	for name, id := range w.lock.Hosts {
		if slices.ContainsFunc(w.fleet.Hosts, func(h config.Host) bool { return h.Name == name }) && lock.Hosts[name] != id {
			t.Fatalf("host %s had id %d, has %d", name, id, lock.Hosts[name])
		}
	}
	for i := range w.fleet.Tenants {
		now := &w.fleet.Tenants[i]
		old := w.lock.Tenants[now.Name]
		if old == nil || len(old.Claims) == 0 || now.NATGateway == nil {
			continue
		}
		var was *config.NATGateway
		for j := range before.Tenants {
			if before.Tenants[j].Name == now.Name {
				was = before.Tenants[j].NATGateway
			}
		}
		samePromise := was.PortsPerHost == now.NATGateway.PortsPerHost && was.PortsPerInterface == now.NATGateway.PortsPerInterface
		for _, c := range old.Claims {
			checkClaimStays(t, now, c, lock.Tenants[now.Name], samePromise)
		}
	}
}

// checkClaimStays looks at each granule of a claim of before.
func checkClaimStays(t *rapid.T, tenant *config.Tenant, was Claim, lock *Tenant, samePromise bool) {
	if !slices.ContainsFunc(tenant.Interfaces, func(i config.Interface) bool {
		return i.Name == was.Claimant.Interface || i.Host == was.Claimant.Host
	}) {
		return // it is gone
	}
	routed := func(b Block) bool { return slices.Contains(tenant.NATGateway.Addresses, b.Address) }
	for _, b := range slices.Concat(was.Blocks, was.Retired) {
		for port := int(b.First); routed(b) && port <= int(b.Last); port += Granule {
			if who, _, ok := lock.Owner(b.Address, uint16(port)); !ok || who != was.Claimant {
				t.Fatalf("%s had port %d of %s, now %s has it (%v)", was.Claimant, port, b.Address, who, ok)
			}
		}
	}
	is, _ := lock.Claim(was.Claimant)
	if samePromise && all(was.Blocks, routed) && all(was.Retired, routed) {
		if diff := diffOf(was, is); diff != "" {
			t.Fatalf("%s of an unchanged promise changed:\n%s", was.Claimant, diff)
		}
	}
}

// checkHandOver wants that hosts which hold either lock never use the same port for two claimants, and that what nobody has any more
// is noted.
func checkHandOver(t *rapid.T, old, next *Lock) {
	type port struct {
		addr netip.Addr
		at   uint16
	}
	each := func(b Block, f func(port)) {
		for at := int(b.First); at <= int(b.Last); at += Granule {
			f(port{b.Address, uint16(at)})
		}
	}
	owners, freed := map[port]Holder{}, map[port]bool{}
	for name, tn := range next.Tenants {
		for _, c := range tn.Claims {
			for _, b := range slices.Concat(c.Blocks, c.Retired) {
				each(b, func(p port) { owners[p] = Holder{name, c.Claimant} })
			}
		}
		for _, f := range tn.Freed {
			each(f.Block, func(p port) { freed[p] = true })
		}
	}
	for name, tn := range old.Tenants {
		for _, f := range tn.Freed {
			each(f.Block, func(p port) {
				if who, ok := owners[p]; ok || !freed[p] {
					t.Fatalf("port %d of %s was freed by %s, is now of %v, freed %t", p.at, p.addr, f.Claimant, who, freed[p])
				}
			})
		}
		for _, c := range tn.Claims {
			for _, b := range slices.Concat(c.Blocks, c.Retired) {
				each(b, func(p port) {
					switch who, ok := owners[p]; {
					case ok && who != Holder{name, c.Claimant}:
						t.Fatalf("port %d of %s belongs to %s of tenant %s and, for hosts that know more, to %s", p.at, p.addr, c.Claimant, name, who)
					case !ok && !freed[p]:
						t.Fatalf("port %d of %s of %s was given up, and nobody noted it", p.at, p.addr, c.Claimant)
					}
				})
			}
		}
	}
}

func TestAnyOrderOfEdits(t *testing.T) {
	kept := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		t.Repeat(map[string]func(*rapid.T){
			"edit": w.edit,
			"": func(t *rapid.T) {
				again, err := Allocate(w.lock, w.fleet)
				if err != nil {
					t.Fatalf("allocate again: %v", err)
				}
				if diff := diffOf(w.lock, again); diff != "" {
					t.Fatalf("not idempotent (-first +second):\n%s", diff)
				}
				if diff := diffOf(w.lock, clone(t, w.lock)); diff != "" {
					t.Fatalf("round trip (-want +got):\n%s", diff)
				}
			},
		})
		kept += w.kept
		w.fleet.Tenants, w.fleet.Hosts = nil, nil
		empty, err := Allocate(w.lock, w.fleet)
		if err == nil {
			empty = Settle(empty, nil)
		}
		if err != nil || len(empty.Hosts) != 0 || len(empty.Tenants) != 0 {
			t.Fatalf("an empty fleet leaves %v, %v", empty, err)
		}
	})
	if kept == 0 {
		t.Error("no edit was ever kept")
	}
}

// An address holds the same number of equal claims however often claims come and go.
func TestNoCapacityIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{1, 7, 16, 63, 144}).Draw(t, "granules")
		most := endGranule - firstGranule
		f := aFleet("hv1", "", perInterface(size*Granule, addrA))
		full := most / size
		next := 0
		var lock *Lock
		for range rapid.IntRange(1, 6).Draw(t, "cycles") {
			ifaces := &f.Tenants[0].Interfaces
			*ifaces = slices.DeleteFunc(*ifaces, func(config.Interface) bool { return rapid.Bool().Draw(t, "leaves") })
			// What leaves is free for the next step, not for the same.
			gone, err := Allocate(lock, f)
			if err != nil {
				t.Fatal(err)
			}
			lock = Settle(gone, nil)
			for len(*ifaces) < full {
				next++
				*ifaces = append(*ifaces, config.Interface{Name: fmt.Sprint("vm", next), Host: "hv1"})
			}
			if lock, err = Allocate(lock, f); err != nil {
				t.Fatal(err)
			}
			if err := Prove(lock, f); err != nil {
				t.Fatal(err)
			}
		}
		f.Tenants[0].Interfaces = append(f.Tenants[0].Interfaces, config.Interface{Name: "more", Host: "hv1"})
		if _, err := Allocate(lock, f); full*size == most && err == nil {
			t.Fatal("more was allocated than an address has")
		}
	})
}
