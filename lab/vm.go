package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
)

// vmDevice is a VM's NIC as the VM sees it.
const vmDevice = "eth0"

// vmGateway4 is the next hop of a VM's default route. No machine has it: the hypervisor answers for it (proxy ARP).
var vmGateway4 = netip.MustParseAddr("169.254.1.1")

// addVM makes a VM's namespace, without a NIC.
func (l *Lab) addVM(vm VM) error {
	n, err := makeNode(vmNamespace(l.prefix, vm), quiet)
	if err != nil {
		return err
	}
	return n.close()
}

// Plug gives a VM its NIC: eth0 in the VM, the other end under the device's name in its host's namespace, where the host's
// agent finds it. A NIC that is there is success.
func (l *Lab) Plug(vm VM) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	nic, ok := interfaceOf(l.fleet, vm)
	if !ok {
		return fmt.Errorf("plug %s: %w", vm, ErrNoNode)
	}
	if err := l.plug(vm, nic); err != nil {
		return err
	}
	delete(l.state.Unplugged, vm.String())
	return l.saveState()
}

// Unplug takes a VM's NIC away: both ends vanish, wherever the host's agent has moved its one. The VM stays.
func (l *Lab) Unplug(vm VM) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := interfaceOf(l.fleet, vm); !ok {
		return fmt.Errorf("unplug %s: %w", vm, ErrNoNode)
	}
	if err := l.unplug(vm); err != nil {
		return err
	}
	l.state.Unplugged[vm.String()] = true
	return l.saveState()
}

func (l *Lab) plug(vm VM, nic config.Interface) (err error) {
	n, err := openNode(vmNamespace(l.prefix, vm))
	if err != nil {
		return fmt.Errorf("plug %s: %w", vm, err)
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if _, err := n.LinkByName(vmDevice); err == nil {
		return nil
	}
	host, err := openNode(hostNamespace(l.prefix, nic.Host))
	if err != nil {
		return fmt.Errorf("plug %s: %w", vm, err)
	}
	defer func() { err = errors.Join(err, host.close()) }()

	// Without duplicate address detection the addresses can be used from the start, before there is a carrier.
	own := end{node: n, device: vmDevice, mac: net.HardwareAddr(nic.MAC[:]), flags: unix.IFA_F_NODAD}
	for _, a := range nic.Addresses {
		own.addresses = append(own.addresses, single(a))
	}
	// The host's end stays down: bringing it up is the agent's job, as with a tap.
	if err := addVeth(l.opts.VMMTU, own, end{node: host, device: nic.Device}); err != nil {
		return fmt.Errorf("plug %s: %w", vm, err)
	}
	if err := own.start(); err != nil {
		return fmt.Errorf("plug %s: %w", vm, err)
	}
	return n.routeVM(nic)
}

// vmsInService waits for the NICs of those VMs whose host's agent has brought the other end up.
func (l *Lab) vmsInService(fleet *config.Fleet) error {
	var errs []error
	for _, t := range fleet.Tenants {
		for _, nic := range t.Interfaces {
			errs = append(errs, l.vmInService(VM{t.Name, nic.Name}))
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) vmInService(vm VM) (err error) {
	n, err := openNode(vmNamespace(l.prefix, vm))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	link, err := n.LinkByName(vmDevice)
	if err != nil || link.Attrs().RawFlags&unix.IFF_LOWER_UP == 0 {
		return nil // unplugged, or nobody at the other end: both are states a fleet may be in
	}
	return end{node: n, device: vmDevice}.inService()
}

// routeVM adds the default routes of the families the VM has addresses in.
func (n *node) routeVM(nic config.Interface) error {
	var errs []error
	for _, gateway := range []netip.Addr{vmGateway4, gateway6} {
		if source := firstOf(nic.Addresses, gateway); source.IsValid() {
			errs = append(errs, n.route(defaultFor(gateway), source, hop{gateway: gateway, device: vmDevice}))
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) unplug(vm VM) (err error) {
	n, err := openNode(vmNamespace(l.prefix, vm))
	if err != nil {
		return fmt.Errorf("unplug %s: %w", vm, err)
	}
	defer func() { err = errors.Join(err, n.close()) }()
	link, err := n.LinkByName(vmDevice)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("unplug %s: %w", vm, err)
	}
	if err := n.LinkDel(link); err != nil {
		return fmt.Errorf("unplug %s: %w", vm, err)
	}
	return nil
}
