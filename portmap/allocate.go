package portmap

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
)

// Allocate returns the lock for the fleet: a pure and stable function of the old lock and the fleet. A nil old lock is
// an empty one; old stays as it is.
//
// Blocks go to claimants in the order of the fleet, first fit from [FirstPort] upward on the addresses in the order
// written. What exists does not move. Existing claimants are served before new ones:
//   - One that grows takes its own retired granules back, then extends its blocks, then gets further blocks on its
//     address, as few as possible. If its address has no room it gets the whole amount on another address, and the old
//     blocks are retired (RFC 4787 REQ-2: paired pooling).
//   - One that shrinks has its highest granules retired.
//   - One that is promised nothing any more but still exists, after a change between portsPerHost and
//     portsPerInterface, keeps its blocks as retired ones.
//   - What has left the fleet is released at once: interfaces, hosts without interfaces of the tenant, tenants, NAT
//     gateways, and blocks of addresses that left, because nothing routes to those any more.
//
// What is released nobody gets in the same step, nor what was before and has not been settled ([Freed]): no claimant, and
// no virtual IP and no load balancer ([Pending]).
//
// All that does not fit is reported at once, each as a [*Shortage] where ports are missing, and no lock is returned.
func Allocate(old *Lock, fleet *config.Fleet) (*Lock, error) {
	if old == nil {
		old = &Lock{}
	}
	lock := NewLock()
	errs := []error{
		numberHosts(lock, old, fleet),
		numberBackends(lock, old, fleet),
	}
	desk := newDesk(fleet)
	desk.held = held(old, fleet)
	for i := range fleet.Tenants {
		t := &fleet.Tenants[i]
		if t.NATGateway == nil {
			continue
		}
		var before []Claim
		if o := old.Tenants[t.Name]; o != nil {
			before = o.Claims
		}
		claims, err := desk.serve(t, before)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(claims) > 0 {
			lock.tenant(t.Name).Claims = claims
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	lock.free(old)
	if err := lock.pending(fleet); err != nil {
		return nil, err
	}
	return lock, nil
}

// desk serves one tenant after the other and keeps what it needs for that between them.
type desk struct {
	fleet  *config.Fleet
	order  map[string]int // of hosts
	orders []int
	held   map[netip.Addr][]Block
}

func newDesk(fleet *config.Fleet) *desk {
	d := &desk{fleet: fleet, order: make(map[string]int, len(fleet.Hosts))}
	for i, h := range fleet.Hosts {
		d.order[h.Name] = i
	}
	return d
}

// serve returns the tenant's claims, sorted.
func (d *desk) serve(t *config.Tenant, before []Claim) ([]Claim, error) {
	want, perHost, err := promise(t)
	if err != nil {
		return nil, err
	}
	hosts, err := d.hosts(t)
	if err != nil {
		return nil, err
	}
	var promised []Claim
	if perHost {
		promised = make([]Claim, len(hosts))
		for i, h := range hosts {
			promised[i].Claimant.Host = h
		}
	} else {
		promised = make([]Claim, len(t.Interfaces))
		for i := range t.Interfaces {
			promised[i].Claimant.Interface = t.Interfaces[i].Name
		}
	}
	b := newBook(t, want/Granule)
	b.hold(d.held)
	claims := append(promised, b.adopt(promised, before, hosts)...)
	if err := b.settle(claims[:len(promised)]); err != nil {
		return nil, err
	}
	if err := b.checkListeners(claims); err != nil {
		return nil, err
	}
	slices.SortFunc(claims, compareClaims)
	return claims, nil
}

// promise returns how many ports a claimant is promised, and whether claimants are hosts.
func promise(t *config.Tenant) (want int, perHost bool, err error) {
	gw := t.NATGateway
	want, setting := gw.PortsPerHost, "portsPerHost"
	if gw.PortsPerInterface != 0 {
		want, setting = gw.PortsPerInterface, "portsPerInterface"
	}
	if gw.PortsPerHost != 0 && gw.PortsPerInterface != 0 {
		return 0, false, fmt.Errorf("tenant %s: natGateway has portsPerHost and portsPerInterface; remove one", t.Name)
	}
	if want <= 0 || want%Granule != 0 || want > Capacity {
		return 0, false, fmt.Errorf("tenant %s: natGateway.%s is %d; give a multiple of %d up to %d", t.Name, setting, want, Granule, Capacity)
	}
	return want, gw.PortsPerInterface == 0, nil
}

// hosts returns the names of the hosts that have interfaces of the tenant, in the order of the fleet.
func (d *desk) hosts(t *config.Tenant) ([]string, error) {
	d.orders = d.orders[:0]
	for i := range t.Interfaces {
		at, ok := d.order[t.Interfaces[i].Host]
		if !ok {
			return nil, fmt.Errorf("tenant %s: interface %s is on host %q, which the fleet does not have; add the host or correct the name",
				t.Name, t.Interfaces[i].Name, t.Interfaces[i].Host)
		}
		d.orders = append(d.orders, at)
	}
	slices.Sort(d.orders)
	d.orders = slices.Compact(d.orders)
	names := make([]string, len(d.orders))
	for i, at := range d.orders {
		names[i] = d.fleet.Hosts[at].Name
	}
	return names, nil
}
