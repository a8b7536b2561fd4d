package script

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// route is a route that a pin has taken the place of.
type route = netlink.Route

// pin makes an edge send everything for a public address to one host.
func (s *stage) pin(c call) error {
	args, _, err := c.want("pin EDGE TENANT PUBLIC HOST", 4, 4)
	if err != nil {
		return err
	}
	edge, tenant, host := args[0], args[1], args[3]
	public, err := addr(args[2])
	if err != nil {
		return err
	}
	if err := errors.Join(s.wantHost(edge), s.wantHost(host)); err != nil {
		return err
	}
	via := topology.OverlayIPv6(s.fleet.Overlay, s.lock.Hosts[host])
	if public.Is4() {
		via = topology.OverlayIPv4(s.fleet.Overlay, s.lock.Hosts[host])
	}
	device, err := s.vxlan(tenant)
	if err != nil {
		return err
	}
	return s.routes(edge, tenant, func(h *netlink.Handle) error {
		dst := hostNet(public)
		old, err := h.RouteListFiltered(netlink.FAMILY_ALL, &route{Dst: dst}, netlink.RT_FILTER_DST)
		if err != nil {
			return fmt.Errorf("list routes to %s: %w", public, err)
		}
		link, err := h.LinkByName(device)
		if err != nil {
			return fmt.Errorf("find %s: %w", device, err)
		}
		over := route{Dst: dst, LinkIndex: link.Attrs().Index, Gw: via.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
		if err := h.RouteReplace(&over); err != nil {
			return fmt.Errorf("route %s via %s: %w", public, via, err)
		}
		if key := (pinned{edge, tenant, public}); !s.isPinned(key) {
			s.pins[key] = old
		}
		return nil
	})
}

func (s *stage) unpin(c call) error {
	args, _, err := c.want("unpin EDGE TENANT PUBLIC", 3, 3)
	if err != nil {
		return err
	}
	public, err := addr(args[2])
	if err != nil {
		return err
	}
	key := pinned{args[0], args[1], public}
	old, ok := s.pins[key]
	if !ok {
		return mistakef("%s of %s is not pinned on %s", public, key.tenant, key.edge)
	}
	delete(s.pins, key)
	return s.routes(args[0], args[1], func(h *netlink.Handle) error {
		if len(old) == 0 {
			return h.RouteDel(&route{Dst: hostNet(public)})
		}
		var errs []error
		for _, r := range old {
			errs = append(errs, h.RouteReplace(&r))
		}
		return errors.Join(errs...)
	})
}

// pinned is what a pin is about.
type pinned struct {
	edge, tenant string
	public       netip.Addr
}

func (s *stage) isPinned(p pinned) bool { _, ok := s.pins[p]; return ok }

// forgetPins drops the pins of the hosts, or of all, because their agents have put their own routes back.
func (s *stage) forgetPins(hosts []string) {
	for p := range s.pins {
		if len(hosts) == 0 || slices.Contains(hosts, p.edge) {
			delete(s.pins, p)
		}
	}
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// vxlan is the name of a tenant's VXLAN device.
func (s *stage) vxlan(tenant string) (string, error) {
	for _, t := range s.fleet.Tenants {
		if t.Name == tenant {
			return topology.Tenant{VNI: t.VNI}.Device(), nil
		}
	}
	return "", mistakef("no tenant %q in the fleet", tenant)
}

// routes runs f with a netlink handle in a tenant's namespace on an edge.
func (s *stage) routes(edge, tenant string, f func(*netlink.Handle) error) error {
	return s.in(edge+"/"+tenant, func(ns *netns.NS) error {
		h, err := netlink.NewHandleAt(vishns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open netlink in %s: %w", ns.Name(), err)
		}
		defer h.Close()
		return f(h)
	})
}
