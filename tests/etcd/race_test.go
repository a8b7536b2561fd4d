package etcd

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

// TestPushers has several pushers push random fleets against each other, each in rounds of reading, allocating, replacing
// and sweeping, while a host follows. Every success builds on the success before it, so nothing moves that was handed out and
// is still wanted, no two claimants ever have the same port, and no object goes missing for anybody.
func TestPushers(t *testing.T) {
	c := newCluster(t, 1)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		where := c.address()
		round++
		where.Prefix = fmt.Sprintf("/race%d", round)
		plans := make([][]*config.Fleet, 3)
		for i := range plans {
			for range rapid.IntRange(1, 4).Draw(r, "pushes") {
				plans[i] = append(plans[i], anyFleet(r))
			}
		}
		h := follow(t, etcd.Config{Address: where})
		defer h.stop()
		race := &race{won: map[int64]*etcd.Fleet{}}
		var group sync.WaitGroup
		for _, plan := range plans {
			group.Go(func() { race.push(t, where, plan) })
		}
		group.Wait()
		if len(race.errs) > 0 {
			r.Fatal(errors.Join(race.errs...))
		}
		last := race.check(r)
		// The host may have left out some, but what it got is what was pushed, and the last one is there.
		for seen := int64(0); seen != last; {
			s := h.until("of the race", func(source.Snapshot) bool { return true })
			seen = etcd.Revision(s.Generation)
			won := race.won[seen]
			if won == nil || fmt.Sprint(won.Fleet.Tenants[0].Interfaces) != fmt.Sprint(s.Fleet.Tenants[0].Interfaces) {
				r.Fatalf("the host has %s, which nobody pushed so", s.Generation)
			}
		}
		for len(h.refused) > 0 {
			if err := <-h.refused; !strings.Contains(err.Error(), "there is no fleet") {
				r.Fatalf("refused: %v", err)
			}
		}
	})
}

// race collects what pushers did.
type race struct {
	mu   sync.Mutex
	won  map[int64]*etcd.Fleet // by revision; what is in it is the revision that it replaced
	errs []error
}

// push pushes one fleet after the other.
func (r *race) push(t *testing.T, where etcd.Address, plan []*config.Fleet) {
	s, err := etcd.Open(where, etcd.Access{})
	if err == nil {
		defer func() { _ = s.Close() }()
		for _, fleet := range plan {
			err = errors.Join(err, r.pushOne(t, s, fleet), s.Sweep(t.Context()))
		}
	}
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.errs = append(r.errs, err)
	}
}

func (r *race) pushOne(t *testing.T, s *etcd.Store, fleet *config.Fleet) error {
	for {
		old, err := s.Read(t.Context())
		if err != nil {
			return err
		}
		lock, err := portmap.Allocate(old.Lock, fleet)
		if err != nil {
			return nil // no room beside what others hold: no push
		}
		revision, err := s.Replace(t.Context(), old, fleet, lock)
		if errors.Is(err, etcd.ErrChanged) {
			continue
		}
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.won[revision] = &etcd.Fleet{Fleet: fleet, Lock: lock, Revision: old.Revision}
		return nil
	}
}

// check walks back from the last success and returns its revision.
func (r *race) check(t *rapid.T) int64 {
	last := int64(0)
	for revision := range r.won {
		last = max(last, revision)
	}
	steps := 0
	for revision := last; revision != 0; steps++ {
		step := r.won[revision]
		if step == nil {
			t.Fatalf("revision %d was built on, and nobody pushed it", revision)
		}
		if err := portmap.Prove(step.Lock, step.Fleet); err != nil {
			t.Fatal(err)
		}
		if before := r.won[step.Revision]; before != nil {
			checkStays(t, before, step)
		}
		revision = step.Revision
	}
	if steps != len(r.won) {
		t.Fatalf("%d of %d pushes are in the chain: others were overwritten unseen", steps, len(r.won))
	}
	return last
}

// checkStays wants hosts that stay to keep their ids.
func checkStays(t *rapid.T, before, after *etcd.Fleet) {
	for host, id := range before.Lock.Hosts {
		if now, there := after.Lock.Hosts[host]; there && now != id {
			t.Fatalf("host %s had id %d and has %d", host, id, now)
		}
	}
}

// anyFleet draws a fleet of some hosts with an interface each.
func anyFleet(r *rapid.T) *config.Fleet {
	fleet := &config.Fleet{Overlay: config.DefaultOverlay()}
	tenant := config.Tenant{Name: "acme", VNI: 7, NATGateway: &config.NATGateway{
		Addresses: []netip.Addr{netip.MustParseAddr("45.86.152.23")}, PortsPerHost: 64 * rapid.IntRange(1, 30).Draw(r, "ports"),
	}}
	for i := range 10 {
		if !rapid.Bool().Draw(r, "host") && (i < 9 || len(fleet.Hosts) > 0) {
			continue
		}
		name := fmt.Sprintf("hv%d", i)
		fleet.Hosts = append(fleet.Hosts, config.Host{
			Name: name, Underlay: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), Roles: []config.Role{config.Hypervisor}, State: config.Up,
		})
		tenant.Interfaces = append(tenant.Interfaces, config.Interface{
			Name: "vm-" + name, Host: name, Device: "tap" + name, MAC: config.MAC{0x52, 0, 0, 0, 0, byte(i)},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})},
		})
	}
	fleet.Tenants = []config.Tenant{tenant}
	return fleet
}
