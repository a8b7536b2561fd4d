package overlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

func (o Namespace) put(h *handle) error {
	ns, err := netns.Create(h.kernel.prefix + o.Name)
	if err != nil {
		return err
	}
	if err := ns.Close(); err != nil {
		return err
	}
	inside, err := h.kernel.at(Place(o.Name))
	if err != nil {
		return err
	}
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	return inside.LinkSetUp(lo)
}

func (o Namespace) drop(h *handle) error {
	return errors.Join(h.kernel.forget(Place(o.Name)), netns.Remove(h.kernel.prefix+o.Name))
}

func (o VXLAN) put(h *handle) error {
	host, err := h.kernel.at(HostPlace)
	if err != nil {
		return err
	}
	if old, err := h.LinkByName(o.Name); err == nil {
		if was, ok := vxlanOf(old); ok && o.outlives(was) {
			return errors.Join(h.LinkSetMTU(old, o.MTU), h.LinkSetHardwareAddr(old, hw(o.MAC)), h.LinkSetUp(old))
		}
		if err := h.LinkDel(old); err != nil {
			return err
		}
	}
	// Asked for on the host's socket: the device is born in the tenant's namespace, its UDP socket stays in the host's.
	err = host.LinkAdd(&netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{
			Name: o.Name, MTU: o.MTU, HardwareAddr: hw(o.MAC), Namespace: netlink.NsFd(h.ns.Fd()), TxQLen: -1,
		},
		VxlanId: int(o.VNI), SrcAddr: o.Local.AsSlice(), Port: int(o.Port), UDPCSum: o.Local.Is6(),
	})
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
	if err := h.remove(topology.UplinkDevice); err != nil {
		return err
	}
	if err := host.remove(o.Port); err != nil {
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

// put moves the VM's device in from the host's namespace, unless it is in place already.
func (o Port) put(h *handle) error {
	link, err := h.LinkByName(o.Device)
	if err != nil {
		host, err := h.kernel.at(HostPlace)
		if err != nil {
			return err
		}
		if link, err = host.LinkByName(o.Device); err != nil {
			return err
		}
		if err := host.LinkSetNsFd(link, h.ns.Fd()); err != nil {
			return err
		}
		if link, err = h.LinkByName(o.Device); err != nil {
			return err
		}
	}
	return errors.Join(h.LinkSetHardwareAddr(link, hw(o.MAC)), h.LinkSetUp(link))
}

// drop gives the VM's device back to the host.
func (o Port) drop(h *handle) error {
	link, err := h.LinkByName(o.Device)
	if isLinkNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.LinkSetNsFd(link, h.kernel.host.Fd())
}

func (o Address) put(h *handle) error {
	return h.on(o.Device, func(link netlink.Link) error {
		addr := &netlink.Addr{IPNet: ipNet(o.Prefix)}
		if o.Prefix.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		return h.AddrReplace(link, addr)
	})
}

func (o Address) drop(h *handle) error {
	return gone(h.on(o.Device, func(link netlink.Link) error { return h.AddrDel(link, &netlink.Addr{IPNet: ipNet(o.Prefix)}) }))
}

func (o Neighbour) entry(link netlink.Link) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: o.IP.AsSlice(), HardwareAddr: hw(o.MAC)}
}

func (o Neighbour) put(h *handle) error {
	return h.on(o.Device, func(link netlink.Link) error { return h.NeighSet(o.entry(link)) })
}

func (o Neighbour) drop(h *handle) error {
	return gone(h.on(o.Device, func(link netlink.Link) error { return h.NeighDel(o.entry(link)) }))
}

func (o FDB) entry(link netlink.Link) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: link.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP, Flags: netlink.NTF_SELF,
		IP: o.Dst.AsSlice(), HardwareAddr: hw(o.MAC),
	}
}

func (o FDB) put(h *handle) error {
	return h.on(o.Device, func(link netlink.Link) error { return h.NeighSet(o.entry(link)) })
}

func (o FDB) drop(h *handle) error {
	return gone(h.on(o.Device, func(link netlink.Link) error { return h.NeighDel(o.entry(link)) }))
}

func (o Route) message(h *handle) (*netlink.Route, error) {
	r := &netlink.Route{Dst: ipNet(o.Dst), Protocol: Protocol}
	for _, hop := range o.Hops {
		link, err := h.LinkByName(hop.Device)
		if err != nil {
			return nil, err
		}
		index := link.Attrs().Index
		if !hop.Via.IsValid() {
			r.LinkIndex, r.Scope = index, netlink.SCOPE_LINK
			return r, nil
		}
		r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: index, Gw: hop.Via.AsSlice(), Flags: int(netlink.FLAG_ONLINK)})
	}
	if len(r.MultiPath) == 1 {
		only := r.MultiPath[0]
		r.LinkIndex, r.Gw, r.Flags, r.MultiPath = only.LinkIndex, only.Gw, only.Flags, nil
	}
	return r, nil
}

func (o Route) put(h *handle) error {
	r, err := o.message(h)
	if err != nil {
		return err
	}
	return h.RouteReplace(r)
}

func (o Route) drop(h *handle) error {
	// Whatever the hops: the destination and the protocol say which route it is.
	return gone(h.RouteDel(&netlink.Route{Dst: ipNet(o.Dst), Protocol: Protocol}))
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

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// vxlanOf reads a VXLAN link back.
func vxlanOf(l netlink.Link) (VXLAN, bool) {
	v, ok := l.(*netlink.Vxlan)
	if !ok {
		return VXLAN{}, false
	}
	local, _ := netip.AddrFromSlice(v.SrcAddr)
	var mac config.MAC
	copy(mac[:], v.HardwareAddr)
	return VXLAN{Name: v.Name, VNI: config.VNI(v.VxlanId), Local: local.Unmap(), Port: uint16(v.Port), MAC: mac, MTU: v.MTU, down: isDown(l)}, true
}

func hw(m config.MAC) net.HardwareAddr { return m[:] }
