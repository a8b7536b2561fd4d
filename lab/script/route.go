package script

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

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
	way := s.overlay(host, public.Is4())
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
		if err := via(h, dst, device, way); err != nil {
			return err
		}
		if key := (pinned{edge, tenant, public}); !s.isPinned(key) {
			s.pins[key] = old
		}
		return nil
	})
}

// overlay is a host's overlay address of a family.
func (s *stage) overlay(host string, is4 bool) netip.Addr {
	if is4 {
		return topology.OverlayIPv4(s.fleet.Overlay, s.lock.Hosts[host])
	}
	return topology.OverlayIPv6(s.fleet.Overlay, s.lock.Hosts[host])
}

// shuffle pins a public address to one host after the other, at random, beside all that follows.
func (s *stage) shuffle(c call) error {
	name := c.args[0]
	c.args = c.args[2:]
	args, opts, err := c.want("meanwhile NAME shuffle EDGE TENANT PUBLIC HOST,... [every=D] [seed=N]", 4, 4, "every", "seed")
	if err != nil {
		return err
	}
	every, err := opts.duration("every", time.Second)
	if err != nil {
		return err
	}
	seed, err := opts.number("seed", int(time.Now().UnixNano()&0xffff))
	if err != nil {
		return err
	}
	edge, tenant, hosts := args[0], args[1], list(args[3])
	var ways []netip.Addr
	for _, host := range hosts {
		// The first pin of each checks the arguments; the first of all remembers the route that was there.
		if err := s.pin(call{ctx: c.ctx, args: []string{edge, tenant, args[2], host}, stdout: io.Discard}); err != nil {
			return err
		}
		ways = append(ways, s.overlay(host, netip.MustParseAddr(args[2]).Is4()))
	}
	device, err := s.vxlan(tenant)
	if err != nil {
		return err
	}
	c.printf("seed=%d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	b := &background{stop: make(chan struct{})}
	s.backgrounds[name] = b
	dst := hostNet(netip.MustParseAddr(args[2]))
	ns, err := s.open(edge + "/" + tenant)
	if err != nil {
		return err
	}
	b.done.Go(func() {
		b.repeat(every, func() error {
			return routesIn(ns, func(h *netlink.Handle) error { return via(h, dst, device, ways[random.IntN(len(ways))]) })
		})
		if err := ns.Close(); err != nil {
			b.last = err
			b.failed++
		}
	})
	return nil
}

// via routes a destination by a neighbour on the device.
func via(h *netlink.Handle, dst *net.IPNet, device string, to netip.Addr) error {
	link, err := h.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	over := route{Dst: dst, LinkIndex: link.Attrs().Index, Gw: to.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	if err := h.RouteReplace(&over); err != nil {
		return fmt.Errorf("route %s via %s: %w", dst, to, err)
	}
	return nil
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
	return s.in(edge+"/"+tenant, func(ns *netns.NS) error { return routesIn(ns, f) })
}

func routesIn(ns *netns.NS, f func(*netlink.Handle) error) error {
	h, err := netlink.NewHandleAt(vishns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink in %s: %w", ns.Name(), err)
	}
	defer h.Close()
	return f(h)
}
