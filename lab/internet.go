package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/config"
)

// Sizes of the outside world's links in bytes. narrowMTU is above the IPv6 minimum of 1280 (RFC 8200 section 5).
const (
	internetMTU = 1500
	narrowMTU   = 1300
)

// Addresses of the outside world. Transfer addresses are from the benchmarking range (RFC 2544), servers' from the
// documentation ranges (RFC 5737, RFC 3849).
var (
	transfer4 = netip.MustParsePrefix("198.18.0.0/24")
	transfer6 = netip.MustParsePrefix("2001:db8:fffe::/64")
	server4   = netip.MustParsePrefix("198.51.100.0/26")
	server6   = netip.MustParsePrefix("2001:db8:ffff::/122")
	far4      = netip.MustParsePrefix("198.51.100.64/26")
	far6      = netip.MustParsePrefix("2001:db8:ffff::40/122")

	router4, router6 = netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8:fffe::1")
)

// ServerAddresses are the addresses of the node server, IPv4 then IPv6.
func ServerAddresses() []netip.Addr { return addresses(1, 1) }

// FarAddresses are the addresses of the node far, IPv4 then IPv6.
func FarAddresses() []netip.Addr { return addresses(65, 0x65) }

func addresses(first4, first6 byte) []netip.Addr {
	v4, v6 := server4.Addr().As4(), server6.Addr().As16()
	var four, six []netip.Addr
	for i := range byte(4) {
		v4[3], v6[15] = first4+i, first6+i
		four, six = append(four, netip.AddrFrom4(v4)), append(six, netip.AddrFrom16(v6))
	}
	return append(four, six...)
}

// transferAddresses are the addresses on a cable to the internet by number: server 2, narrow 3, edges from 10.
func transferAddresses(number byte) []netip.Prefix {
	v4, v6 := transfer4.Addr().As4(), transfer6.Addr().As16()
	v4[3], v6[15] = number, number
	return []netip.Prefix{single(netip.AddrFrom4(v4)), single(netip.AddrFrom16(v6)), leaf6}
}

// buildInternet makes the router and the outside servers.
func (l *Lab) buildInternet() (err error) {
	var nodes []*node
	defer func() {
		for _, n := range nodes {
			err = errors.Join(err, n.close())
		}
	}()
	node := func(name string, settings ...map[string]string) *node {
		if err != nil {
			return nil
		}
		n, e := makeNode(l.prefix+name, settings...)
		if err = e; e == nil {
			nodes = append(nodes, n)
		}
		return n
	}
	internet := node(Internet, quiet, answering, routing)
	narrow := node(Narrow, quiet, answering, routing)
	server, far := node(Server, quiet, answering), node(Far, quiet, answering)
	if err != nil {
		return err
	}
	if err := errors.Join(server.serve(ServerAddresses()), far.serve(FarAddresses())); err != nil {
		return err
	}
	if err := attach(internet, Server, server, "eth0", internetMTU, 2, ServerAddresses()); err != nil {
		return err
	}
	if err := attach(internet, Narrow, narrow, "internet", narrowMTU, 3, nil); err != nil {
		return err
	}
	if err := attach(narrow, Far, far, "eth0", internetMTU, 4, FarAddresses()); err != nil {
		return err
	}
	return errors.Join(
		internet.routeVia(Server, 2, server4, server6),
		internet.routeVia(Narrow, 3, far4, far6),
		narrow.routeVia(Far, 4, far4, far6),
	)
}

// attach cables a leaf to a router and gives it its default routes, which prefer the first address of each family in sources.
func attach(router *node, port string, leaf *node, device string, mtu int, number byte, sources []netip.Addr) error {
	gateway, side := router4, []netip.Prefix{single(router4), single(router6), netip.PrefixFrom(gateway6, 64)}
	if port == Far { // its router is narrow, which keeps the transfer addresses of its other cable
		gateway = transferAddresses(3)[0].Addr()
		side = []netip.Prefix{single(gateway), netip.PrefixFrom(gateway6, 64)}
	}
	own := transferAddresses(number)
	if err := cable(mtu, end{node: leaf, device: device, addresses: own}, end{node: router, device: port, addresses: side}); err != nil {
		return err
	}
	var errs []error
	for _, p := range own[:2] {
		hops := hop{device: port}
		via := hop{gateway: gateway, device: device}
		if p.Addr().Is6() {
			hops.gateway, via.gateway = leaf6.Addr(), gateway6
		}
		errs = append(errs, router.route(p, netip.Addr{}, hops), leaf.route(defaultFor(p.Addr()), firstOf(sources, p.Addr()), via))
	}
	return errors.Join(errs...)
}

// firstOf is the first of the addresses in the family of like, the zero value if there is none.
func firstOf(addresses []netip.Addr, like netip.Addr) netip.Addr {
	for _, a := range addresses {
		if a.Is4() == like.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// serve puts a server's addresses on lo, so that no neighbour protocol is needed for them.
func (n *node) serve(addresses []netip.Addr) error {
	lo, err := n.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo in %s: %w", n.ns.Name(), err)
	}
	for _, a := range addresses {
		if err := n.addAddress(lo, single(a), 0); err != nil {
			return fmt.Errorf("in %s: %w", n.ns.Name(), err)
		}
	}
	return nil
}

// routeVia sends the prefixes to the leaf with that transfer number behind port.
func (n *node) routeVia(port string, number byte, prefixes ...netip.Prefix) error {
	var errs []error
	for _, p := range prefixes {
		errs = append(errs, n.route(p, netip.Addr{}, leafHop(p.Addr(), port, number)))
	}
	return errors.Join(errs...)
}

// leafHop is a router's next hop to a leaf for destinations of dst's family.
func leafHop(dst netip.Addr, port string, number byte) hop {
	if dst.Is6() {
		return hop{gateway: leaf6.Addr(), device: port}
	}
	return hop{gateway: transferAddresses(number)[0].Addr(), device: port}
}

// addUplink cables an edge to the internet. Its default routes lead there.
func (l *Lab) addUplink(host *node, h config.Host) (err error) {
	internet, err := openNode(l.prefix + Internet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, internet.close()) }()
	number, err := l.state.number(h.Name)
	if err != nil {
		return err
	}
	return attach(internet, portName(h.Name), host, h.Uplink, internetMTU, number, nil)
}

// routePublic makes the internet send every public address of the fleet, and what tenants with exempt destinations show it of
// their private ones, to the edges that are up, and no other.
func (l *Lab) routePublic(fleet *config.Fleet) (err error) {
	internet, err := openNode(l.prefix + Internet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, internet.close()) }()
	want := map[netip.Prefix]bool{}
	var errs []error
	for _, a := range append(publicAddresses(fleet), exemptedAddresses(fleet)...) {
		var hops []hop
		for _, h := range fleet.Hosts {
			if h.Has(config.Edge) && h.State != config.Down {
				hops = append(hops, leafHop(a, portName(h.Name), l.state.Edges[h.Name]))
			}
		}
		if len(hops) > 0 {
			want[single(a)] = true
			errs = append(errs, internet.route(single(a), netip.Addr{}, hops...))
		}
	}
	return errors.Join(append(errs, internet.dropPublic(want))...)
}

// dropPublic removes the routes to public addresses that are not wanted any more.
func (n *node) dropPublic(want map[netip.Prefix]bool) error {
	routes, err := n.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes in %s: %w", n.ns.Name(), err)
	}
	var errs []error
	for _, r := range routes {
		dst, ok := prefixOfNet(r.Dst)
		if !ok || !dst.IsSingleIP() || want[dst] || reserved(dst.Addr()) {
			continue
		}
		if err := n.RouteDel(&r); err != nil {
			errs = append(errs, fmt.Errorf("remove route %s in %s: %w", dst, n.ns.Name(), err))
		}
	}
	return errors.Join(errs...)
}

func prefixOfNet(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}

// publicAddresses are all addresses of the fleet that the outside world may send to, sorted, each once.
func publicAddresses(fleet *config.Fleet) []netip.Addr {
	var all []netip.Addr
	for _, t := range fleet.Tenants {
		if t.NATGateway != nil {
			all = append(all, t.NATGateway.Addresses...)
		}
		for _, v := range t.VirtualIPs {
			all = append(all, v.Addresses...)
		}
		for _, b := range t.LoadBalancers {
			all = append(all, b.Address)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// exemptedAddresses are the private addresses that the outside world sees where a tenant exempts destinations from translation.
func exemptedAddresses(fleet *config.Fleet) []netip.Addr {
	var all []netip.Addr
	for _, t := range fleet.Tenants {
		if t.NATGateway == nil || len(t.NATGateway.Exempt) == 0 {
			continue
		}
		for _, i := range t.Interfaces {
			for _, a := range i.Addresses {
				if a.Is4() {
					all = append(all, a)
				}
			}
		}
	}
	return all
}

// reserved reports whether the lab uses the address for its own outside world.
func reserved(a netip.Addr) bool {
	for _, p := range []netip.Prefix{transfer4, transfer6, server4, far4, server6, far6} {
		if p.Contains(a) {
			return true
		}
	}
	return a == fabricGateway4
}

// checkAddresses refuses a fleet that uses addresses of the lab's outside world.
func checkAddresses(fleet *config.Fleet) error {
	var errs []error
	for _, a := range publicAddresses(fleet) {
		if reserved(a) {
			errs = append(errs, fmt.Errorf("public address %s belongs to the lab's outside world: choose another", a))
		}
	}
	for _, h := range fleet.Hosts {
		if reserved(h.Underlay) {
			errs = append(errs, fmt.Errorf("underlay address %s of host %s belongs to the lab's outside world: choose another", h.Underlay, h.Name))
		}
	}
	return errors.Join(errs...)
}
