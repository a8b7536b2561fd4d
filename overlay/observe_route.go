package overlay

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routes reads the main table. In a tenant namespace all of it is ours but what the kernel makes for addresses, in the
// host's what has our protocol.
func (o *observer) routes() {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if o.err != nil {
			return
		}
		var list []netlink.Route
		if list, o.err = again(func() ([]netlink.Route, error) { return o.routeList(family) }); o.err != nil {
			return
		}
		for _, r := range list {
			route, ok := o.route(family, r)
			switch {
			case o.only && !(ok && o.paired[route.device()]):
				// Another tenant's, or nobody's.
			case ok:
				o.add(route)
			case r.Protocol == Protocol && r.Type == unix.RTN_UNREACHABLE && r.Priority == fallbackMetric && o.place != HostPlace:
				o.add(Fallback{Dst: destination(family, r)})
			case r.Protocol == Protocol || o.place != HostPlace && r.Protocol != unix.RTPROT_KERNEL:
				o.add(o.stray(family, r))
			}
		}
	}
}

// routeList dumps the main table of a family. An edge may have the whole internet's routes in the host's namespace: there
// the kernel is asked to send ours alone (NETLINK_GET_STRICT_CHK, Linux 4.20).
func (o *observer) routeList(family int) ([]netlink.Route, error) {
	if o.place != HostPlace {
		return o.RouteList(nil, family)
	}
	if o.SetStrictCheck(true) == nil {
		// Other dumps of the library have headers that a strict kernel refuses.
		defer func() { _ = o.SetStrictCheck(false) }()
	}
	return o.RouteListFiltered(family, &netlink.Route{Protocol: Protocol}, netlink.RT_FILTER_PROTOCOL)
}

// defaultMetric is the metric of a route made without one (net/ipv6/route.c, IP6_RT_PRIO_USER).
func defaultMetric(family int) int {
	if family == unix.AF_INET6 {
		return 1024
	}
	return 0
}

// route reads a route that could be one of ours; false for any other.
func (o *observer) route(family int, r netlink.Route) (Route, bool) {
	if r.Protocol != Protocol || r.Type != unix.RTN_UNICAST || r.Priority != defaultMetric(family) || r.Tos != 0 {
		return Route{}, false
	}
	out := Route{Dst: destination(family, r)}
	hops := r.MultiPath
	if len(hops) == 0 {
		hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw}}
	}
	for _, h := range hops {
		l := o.links[h.LinkIndex]
		if l == nil {
			return Route{}, false
		}
		hop := Hop{Device: l.Attrs().Name}
		if h.Gw != nil {
			hop.Via = addr(h.Gw)
		}
		if h.Hops != 0 {
			hop.weight = h.Hops + 1
		}
		out.Hops = append(out.Hops, hop)
	}
	out.late = o.ports[out.Hops[0].Device] || o.place == HostPlace
	return out, true
}

// stray reads what is needed to print and to delete a route that should not be.
func (o *observer) stray(family int, r netlink.Route) Stray {
	dst := destination(family, r)
	words := []string{dst.String()}
	if r.Type != unix.RTN_UNICAST {
		words = append(words, fmt.Sprintf("type %d", r.Type))
	}
	for _, h := range append([]*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw}}, r.MultiPath...) {
		if h.Gw != nil {
			words = append(words, "via "+addr(h.Gw).String())
		}
		if l := o.links[h.LinkIndex]; l != nil {
			words = append(words, "dev "+l.Attrs().Name)
		}
	}
	words = append(words, fmt.Sprintf("proto %d metric %d", int(r.Protocol), r.Priority))
	if r.Tos != 0 {
		words = append(words, fmt.Sprintf("tos %d", r.Tos))
	}
	return Stray{text: strings.Join(words, " "), route: netlink.Route{
		Family: family, Dst: ipNet(dst), Protocol: r.Protocol, Type: r.Type, Priority: r.Priority, Tos: r.Tos, Scope: netlink.SCOPE_NOWHERE,
	}}
}

// destination is the route's; a default route may come without one.
func destination(family int, r netlink.Route) netip.Prefix {
	if r.Dst != nil {
		ones, _ := r.Dst.Mask.Size()
		return netip.PrefixFrom(addr(r.Dst.IP), ones)
	}
	if family == unix.AF_INET6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return anywhereIPv4
}
