package lab

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
)

// Rewire changes the hardware to that of another fleet: hosts and VMs come and go, VMs move between hosts, the internet
// learns public addresses and edges. What both fleets have stays untouched, open connections included. A host that stays
// must keep its underlay address. One that becomes an edge gets a cable to the internet; one that is an edge no longer keeps
// it, with its routes, and the internet sends nothing there.
func (l *Lab) Rewire(fleet *config.Fleet) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := errors.Join(checkNames(l.prefix, fleet), checkAddresses(fleet), checkHosts(l.fleet, fleet))
	if err != nil {
		return err
	}
	old := l.fleet
	l.fleet = fleet
	if err := l.removeGone(old, fleet); err != nil {
		return err
	}
	for _, h := range fleet.Hosts {
		if _, ok := hostByName(old, h.Name); !ok {
			if err := l.addHost(h); err != nil {
				return fmt.Errorf("add host %s: %w", h.Name, err)
			}
		} else if err := l.makeEdge(fleet, h); err != nil {
			return fmt.Errorf("make host %s an edge: %w", h.Name, err)
		}
	}
	if err := errors.Join(l.routeEdges(fleet), l.routePublic(fleet)); err != nil {
		return err
	}
	if err := l.rewireVMs(old, fleet); err != nil {
		return err
	}
	return errors.Join(l.saveState(), l.saveFleet(fleet))
}

// checkHosts refuses changes that a running machine does not survive.
func checkHosts(old, fleet *config.Fleet) error {
	var errs []error
	for _, h := range fleet.Hosts {
		was, ok := hostByName(old, h.Name)
		if ok && (was.Underlay != h.Underlay || was.Uplink != h.Uplink && was.Has(config.Edge) && h.Has(config.Edge)) {
			errs = append(errs, fmt.Errorf("host %s changes its underlay address or its uplink: give the changed host another name", h.Name))
		}
	}
	return errors.Join(errs...)
}

// removeGone switches off the hosts and VMs that the new fleet does not have.
func (l *Lab) removeGone(old, fleet *config.Fleet) error {
	var errs []error
	for _, t := range old.Tenants {
		for _, i := range t.Interfaces {
			vm := VM{t.Name, i.Name}
			if _, ok := interfaceOf(fleet, vm); !ok {
				// The device goes now, not when the kernel gets to the namespace: its name may be wanted again.
				errs = append(errs, l.unplug(vm), netns.Remove(vmNamespace(l.prefix, vm)))
				delete(l.state.Unplugged, vm.String())
			}
		}
	}
	for _, h := range old.Hosts {
		if _, ok := hostByName(fleet, h.Name); !ok {
			errs = append(errs, l.removeHost(old, h))
		}
	}
	return errors.Join(errs...)
}

// removeHost takes a host away with its tenants' namespaces and its cables.
func (l *Lab) removeHost(fleet *config.Fleet, h config.Host) error {
	errs := []error{l.uncable(Underlay, portName(h.Name))}
	if l.hasUplink(h.Name) {
		errs = append(errs, l.uncable(Internet, portName(h.Name)))
		delete(l.state.Edges, h.Name)
	}
	for _, t := range fleet.Tenants {
		errs = append(errs, netns.Remove(tenantNamespace(l.prefix, h.Name, t.Name)))
	}
	return errors.Join(append(errs, netns.Remove(hostNamespace(l.prefix, h.Name)))...)
}

func (l *Lab) uncable(nodeName, device string) (err error) {
	n, err := openNode(l.prefix + nodeName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	link, err := n.LinkByName(device)
	if err != nil {
		return fmt.Errorf("remove cable %s in %s: %w", device, n.ns.Name(), err)
	}
	if err := n.LinkDel(link); err != nil {
		return fmt.Errorf("remove cable %s in %s: %w", device, n.ns.Name(), err)
	}
	return nil
}

// rewireVMs adds new VMs and plugs those anew whose NIC changed. A VM that moves keeps its namespace, so its processes
// and sockets live on as they do in a live migration.
func (l *Lab) rewireVMs(old, fleet *config.Fleet) error {
	for _, t := range fleet.Tenants {
		for _, nic := range t.Interfaces {
			vm := VM{t.Name, nic.Name}
			was, ok := interfaceOf(old, vm)
			if ok && reflect.DeepEqual(was, nic) {
				continue
			}
			var err error
			if ok {
				err = l.unplug(vm)
			} else {
				err = l.addVM(vm)
			}
			if err != nil {
				return err
			}
			if l.state.Unplugged[vm.String()] {
				continue
			}
			if err := l.plug(vm, nic); err != nil {
				return err
			}
		}
	}
	return nil
}
