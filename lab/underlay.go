package lab

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"

	"github.com/culvertnet/culvert/config"
)

// underlayDevice is the host's device that carries its underlay address.
const underlayDevice = "underlay0"

// The gateway is the same address on every cable: the far end is a router, as in a routed leaf-spine fabric.
var (
	fabricGateway4 = netip.MustParseAddr("169.254.0.1")
	gateway6       = netip.MustParseAddr("fe80::1")
	leaf6          = netip.MustParsePrefix("fe80::2/64")
)

// buildUnderlay makes the fabric, without any host on it.
func (l *Lab) buildUnderlay() error {
	n, err := makeNode(l.prefix+Underlay, quiet, answering, routing)
	if err != nil {
		return err
	}
	return n.close()
}

// addHost makes a host's namespace and cables it to the fabric.
func (l *Lab) addHost(h config.Host) (err error) {
	fabric, err := openNode(l.prefix + Underlay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fabric.close()) }()
	host, err := makeNode(hostNamespace(l.prefix, h.Name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.close()) }()

	port := portName(h.Name)
	err = cable(l.opts.UnderlayMTU,
		end{node: host, device: underlayDevice, addresses: []netip.Prefix{single(h.Underlay), leaf6}},
		end{node: fabric, device: port, addresses: []netip.Prefix{single(fabricGateway4), netip.PrefixFrom(gateway6, 64)}})
	if err != nil {
		return err
	}
	// The fabric knows a host by its link-local address in IPv6: Linux answers neighbour solicitations on the link the
	// address is on, which it is, but needs a link-local source to send its own.
	back := hop{device: port}
	if h.Underlay.Is6() {
		back.gateway = leaf6.Addr()
	}
	if err := fabric.route(single(h.Underlay), netip.Addr{}, back); err != nil {
		return err
	}
	if h.Has(config.Edge) {
		return l.addUplink(host, h)
	}
	return host.route(defaultFor(h.Underlay), h.Underlay, underlayHop(h.Underlay))
}

// underlayHop is a host's way into the fabric.
func underlayHop(to netip.Addr) hop {
	if to.Is4() {
		return hop{gateway: fabricGateway4, device: underlayDevice}
	}
	return hop{gateway: gateway6, device: underlayDevice}
}

// routeEdges gives each edge a route per host: its default route leads to the internet, not into the fabric.
func (l *Lab) routeEdges(fleet *config.Fleet) error {
	var errs []error
	for _, h := range fleet.Hosts {
		if l.hasUplink(h.Name) {
			errs = append(errs, l.routeEdge(fleet, h))
		}
	}
	return errors.Join(errs...)
}

// hasUplink reports whether the host has a cable to the internet: it is an edge, or was one.
func (l *Lab) hasUplink(host string) bool { return l.state.Edges[host] != 0 }

// makeEdge cables a host that has become an edge.
func (l *Lab) makeEdge(fleet *config.Fleet, h config.Host) (err error) {
	if !h.Has(config.Edge) || l.hasUplink(h.Name) {
		return nil
	}
	// Its default route is about to leave the fabric.
	if err := l.routeEdge(fleet, h); err != nil {
		return err
	}
	n, err := openNode(hostNamespace(l.prefix, h.Name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	return l.addUplink(n, h)
}

func (l *Lab) routeEdge(fleet *config.Fleet, edge config.Host) (err error) {
	n, err := openNode(hostNamespace(l.prefix, edge.Name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	for _, other := range fleet.Hosts {
		if other.Name == edge.Name || other.Underlay.Is4() != edge.Underlay.Is4() {
			continue
		}
		if err := n.route(single(other.Underlay), edge.Underlay, underlayHop(other.Underlay)); err != nil {
			return err
		}
	}
	return nil
}

// portName is the device's name at the other end of a host's cable: the host's name where it fits in a device name
// (15 bytes), a digest of it otherwise.
func portName(host string) string {
	if len(host) <= 15 && host != "lo" && host != Server && host != Narrow {
		return host
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(host))
	return fmt.Sprintf("p%014x", sum.Sum64()&(1<<56-1))
}
