package overlay

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

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
	return h.on(o.Device, func(link netlink.Link) error {
		if o.MAC.IsMulticast() {
			return h.NeighAppend(o.entry(link))
		}
		return h.NeighSet(o.entry(link))
	})
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
	// Whatever the hops: the destination and the protocol say which route it is. Without "nowhere" the kernel would look
	// for a route of scope universe alone (net/ipv4/fib_trie.c, fib_table_delete).
	// The type and, in IPv6, the metric keep the fallback of the same destination out of it.
	r := &netlink.Route{Dst: ipNet(o.Dst), Protocol: Protocol, Scope: netlink.SCOPE_NOWHERE, Type: unix.RTN_UNICAST}
	if o.Dst.Addr().Is6() {
		r.Priority = defaultMetric(unix.AF_INET6)
	}
	return gone(h.RouteDel(r))
}

func (o Fallback) route() *netlink.Route {
	return &netlink.Route{Dst: ipNet(o.Dst), Protocol: Protocol, Type: unix.RTN_UNREACHABLE, Priority: fallbackMetric}
}

func (o Fallback) put(h *handle) error  { return h.RouteReplace(o.route()) }
func (o Fallback) drop(h *handle) error { return gone(h.RouteDel(o.route())) }

func (o Stray) put(*handle) error    { return errors.ErrUnsupported }
func (o Stray) drop(h *handle) error { return gone(h.RouteDel(&o.route)) }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
