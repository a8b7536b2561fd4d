package overlay

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// put makes the namespace, or takes one of that name as it is: the name says that it is ours.
func (o Namespace) put(h *handle) error {
	ns, err := netns.Create(h.kernel.prefix + o.Name)
	switch {
	case errors.Is(err, fs.ErrExist):
	case err != nil:
		return err
	default:
		if err := ns.Close(); err != nil {
			return err
		}
	}
	inside, err := h.kernel.at(Place(o.Name))
	if err != nil {
		return err
	}
	return inside.setUp("lo")
}

// drop takes the name away, and with it all that is inside, unless that has somebody else's device: the kernel would delete
// it (net/core/dev.c, default_device_exit_net).
func (o Namespace) drop(h *handle) error {
	inside, err := h.kernel.at(Place(o.Name))
	if err != nil && !errors.Is(err, netns.ErrNotExist) {
		return err
	}
	if err == nil {
		links, err := again(inside.LinkList)
		if err != nil {
			return err
		}
		for _, l := range links {
			if isPort(l) {
				return fmt.Errorf("device %s is still in it; move it away first", l.Attrs().Name)
			}
		}
	}
	return errors.Join(h.kernel.leave(), netns.Remove(h.kernel.prefix+o.Name))
}

func (o VXLAN) put(h *handle) error {
	host, err := h.kernel.at(HostPlace)
	if err != nil {
		return err
	}
	old, err := h.LinkByName(o.Name)
	switch {
	case isLinkNotFound(err):
	case err != nil:
		return err
	default:
		if was, ok := vxlanOf(old); ok && o.outlives(was) {
			return errors.Join(h.LinkSetMTU(old, o.MTU), h.setMAC(old, o.MAC), h.LinkSetUp(old))
		}
		if err := h.LinkDel(old); err != nil {
			return err
		}
	}
	// Asked for on the host's socket: the device is born in the tenant's namespace, its UDP socket stays in the host's.
	// The outer UDP checksum is left at the kernel's default, on: hardware and GRO check the inner one by it.
	err = host.LinkAdd(&netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{
			Name: o.Name, MTU: o.MTU, HardwareAddr: hw(o.MAC), Namespace: netlink.NsFd(h.ns.Fd()), TxQLen: -1,
		},
		VxlanId: int(o.VNI), SrcAddr: o.Local.AsSlice(), Port: int(o.Port),
	})
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("VNI %d on port %d is taken by another device of this host, or by that of a namespace that is just ending; see `ip -d link show type vxlan`, remove it or apply again: %w", o.VNI, o.Port, err)
	}
	if err != nil {
		return err
	}
	return h.setUp(o.Name)
}

func (o VXLAN) drop(h *handle) error { return h.remove(o.Name) }

func (o Uplink) put(h *handle) error {
	host, err := h.kernel.at(HostPlace)
	if err != nil {
		return err
	}
	inside, err := h.LinkByName(topology.UplinkDevice)
	if err != nil && !isLinkNotFound(err) {
		return err
	}
	if err == nil {
		outside, err := host.LinkByName(o.Port)
		if err != nil && !isLinkNotFound(err) {
			return err
		}
		if err == nil && isPair(inside, outside) {
			return errors.Join(
				host.LinkSetMTU(outside, o.MTU), h.LinkSetMTU(inside, o.MTU),
				host.setMAC(outside, o.PortMAC), h.setMAC(inside, o.MAC),
				host.LinkSetUp(outside), h.LinkSetUp(inside),
			)
		}
	}
	if err := errors.Join(h.remove(topology.UplinkDevice), host.remove(o.Port)); err != nil {
		return err
	}
	err = host.LinkAdd(&netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: o.Port, MTU: o.MTU, HardwareAddr: hw(o.PortMAC), TxQLen: -1},
		PeerName:         topology.UplinkDevice,
		PeerHardwareAddr: hw(o.MAC),
		PeerMTU:          uint32(o.MTU),
		PeerNamespace:    netlink.NsFd(h.ns.Fd()),
	})
	if err != nil {
		return err
	}
	return errors.Join(host.setUp(o.Port), h.setUp(topology.UplinkDevice))
}

func (o Uplink) drop(h *handle) error { return h.remove(topology.UplinkDevice) }

func (o Orphan) put(*handle) error    { return errors.ErrUnsupported }
func (o Orphan) drop(h *handle) error { return h.remove(o.Port) }

// put moves the VM's device in from the host's namespace, unless it is in place already.
func (o Port) put(h *handle) error {
	link, err := h.LinkByName(o.Device)
	if isLinkNotFound(err) {
		link, err = o.fetch(h)
	}
	if err != nil {
		return err
	}
	return errors.Join(h.setMAC(link, o.MAC), h.LinkSetUp(link))
}

// fetch moves the device in; the kernel takes it down on the way, with all addresses and parameters.
func (o Port) fetch(h *handle) (netlink.Link, error) {
	host, err := h.kernel.at(HostPlace)
	if err != nil {
		return nil, err
	}
	link, err := host.LinkByName(o.Device)
	if err != nil {
		return nil, err
	}
	if err := host.LinkSetNsFd(link, h.ns.Fd()); err != nil {
		return nil, err
	}
	return h.LinkByName(o.Device)
}

// drop gives the VM's device back to the host: down, without addresses, and with a random MAC like a device just made,
// because devices that share the gateway's must not meet.
func (o Port) drop(h *handle) error {
	link, err := h.LinkByName(o.Device)
	if isLinkNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := h.LinkSetDown(link); err != nil {
		return err
	}
	if mac(link.Attrs().HardwareAddr) == topology.GatewayMAC {
		if err := h.LinkSetHardwareAddr(link, hw(randomMAC())); err != nil {
			return err
		}
	}
	err = h.LinkSetNsFd(link, h.kernel.host.Fd())
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("the host's namespace has another device %s; rename or remove that one: %w", o.Device, err)
	}
	return err
}

// randomMAC is a locally administered unicast address (IEEE 802, clause 8).
func randomMAC() config.MAC {
	var m config.MAC
	_, _ = rand.Read(m[:]) // never fails
	m[0] = m[0]&^1 | 2
	return m
}

// setMAC changes the address of a link that has another one. Not every driver can do that while the link is up.
func (h *handle) setMAC(l netlink.Link, want config.MAC) error {
	if mac(l.Attrs().HardwareAddr) == want {
		return nil
	}
	err := h.LinkSetHardwareAddr(l, hw(want))
	if errors.Is(err, unix.EBUSY) {
		err = errors.Join(h.LinkSetDown(l), h.LinkSetHardwareAddr(l, hw(want)))
	}
	return err
}

// on calls f with the named link.
func (h *handle) on(device string, f func(netlink.Link) error) error {
	link, err := h.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find device %s: %w", device, err)
	}
	return f(link)
}

func (h *handle) setUp(device string) error { return h.on(device, h.LinkSetUp) }

// remove deletes the named link; a missing one is success.
func (h *handle) remove(device string) error { return gone(h.on(device, h.LinkDel)) }

// gone turns the error for removing what is not there into success.
func gone(err error) error {
	if isLinkNotFound(err) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func isLinkNotFound(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}
