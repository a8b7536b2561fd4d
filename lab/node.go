package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// node is an open namespace with a netlink handle inside it.
type node struct {
	ns *netns.NS
	*netlink.Handle
}

// quiet are the settings of every machine of the lab: no duplicate address detection (an address would be unusable for a
// second), no router advertisements, no link-local address that nobody asked for.
var quiet = map[string]string{
	"ipv6/conf/default/accept_dad":    "0",
	"ipv6/conf/default/dad_transmits": "0",
	"ipv6/conf/default/accept_ra":     "0",
	"ipv6/conf/default/addr_gen_mode": "1", // IN6_ADDR_GEN_MODE_NONE, linux/if_link.h
}

// answering are the settings of the outside world: no type of ICMP error is rate-limited, or a test with a thousand flows would
// see six answers. What is left is the limit of one machine-wide setting for destinations without a route
// (net.ipv4.route.error_cost): six at once, then one a second.
var answering = map[string]string{
	"ipv4/icmp_ratemask":  "0",
	"ipv6/icmp/ratelimit": "0",
}

// routing are the settings of the lab's own routers. rp_filter is inherited from the machine, so it is set here.
var routing = map[string]string{
	"ipv4/ip_forward":                       "1",
	"ipv4/conf/all/rp_filter":               "0",
	"ipv4/conf/default/rp_filter":           "0",
	"ipv4/conf/all/send_redirects":          "0",
	"ipv4/fib_multipath_hash_policy":        "0",
	"ipv4/icmp_ratelimit":                   "0",
	"ipv6/conf/all/forwarding":              "1",
	"ipv6/conf/default/forwarding":          "1",
	"ipv6/fib_multipath_hash_policy":        "0",
	"ipv6/icmp/ratelimit":                   "0",
	"ipv6/conf/all/accept_redirects":        "0",
	"ipv4/conf/all/accept_redirects":        "0",
	"ipv4/conf/default/accept_source_route": "0",
}

// makeNode creates a namespace with lo up and the settings given.
func makeNode(name string, settings ...map[string]string) (*node, error) {
	ns, err := netns.Create(name)
	if err != nil {
		return nil, err
	}
	n, err := nodeOf(ns)
	if err != nil {
		return nil, err
	}
	if err := n.begin(settings); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare namespace %s: %w", name, err), n.close())
	}
	return n, nil
}

func (n *node) begin(settings []map[string]string) error {
	for _, s := range settings {
		if err := n.sysctl(s); err != nil {
			return err
		}
	}
	lo, err := n.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := n.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// openNode opens the namespace of an existing node.
func openNode(name string) (*node, error) {
	ns, err := netns.Open(name)
	if err != nil {
		return nil, err
	}
	return nodeOf(ns)
}

func nodeOf(ns *netns.NS) (*node, error) {
	// The family is given because a kernel without XFRM refuses the default list.
	h, err := netlink.NewHandleAt(vishns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink in %s: %w", ns.Name(), err), ns.Close())
	}
	return &node{ns: ns, Handle: h}, nil
}

func (n *node) close() error {
	n.Handle.Close()
	return n.ns.Close()
}

// sysctl writes settings below /proc/sys/net. A key the kernel does not have is an error.
func (n *node) sysctl(values map[string]string) error {
	return n.ns.Do(func() error {
		var errs []error
		for key, value := range values {
			if err := os.WriteFile(filepath.Join("/proc/sys/net", key), []byte(value), 0); err != nil {
				errs = append(errs, fmt.Errorf("set net/%s to %s: %w", key, value, err))
			}
		}
		return errors.Join(errs...)
	})
}

// end is one end of a cable: a device of a node with its addresses.
type end struct {
	node      *node
	device    string
	mac       net.HardwareAddr
	addresses []netip.Prefix
	// flags are of the IPv6 addresses (IFA_F_*, linux/if_addr.h).
	flags int
}

// cable joins two nodes with a veth pair, brings both ends up with their addresses and waits until they are in service.
func cable(mtu int, a, b end) error {
	if err := addVeth(mtu, a, b); err != nil {
		return err
	}
	if err := errors.Join(a.start(), b.start()); err != nil {
		return err
	}
	return errors.Join(a.inService(), b.inService())
}

// addVeth makes the pair with each end in its place, both down.
func addVeth(mtu int, a, b end) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = a.device, mtu, a.mac
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: b.device, PeerMTU: uint32(mtu), PeerHardwareAddr: b.mac,
		PeerNamespace: netlink.NsFd(b.node.ns.Fd()),
	}
	if err := a.node.LinkAdd(veth); err != nil {
		return fmt.Errorf("add cable %s in %s - %s in %s: %w", a.device, a.node.ns.Name(), b.device, b.node.ns.Name(), err)
	}
	return nil
}

func (e end) start() error {
	fail := func(err error) error {
		return fmt.Errorf("start %s in %s: %w", e.device, e.node.ns.Name(), err)
	}
	conf := "ipv6/conf/" + e.device + "/"
	if err := e.node.sysctl(map[string]string{conf + "accept_dad": "0", conf + "accept_ra": "0", conf + "addr_gen_mode": "1"}); err != nil {
		return fail(err)
	}
	link, err := e.node.LinkByName(e.device)
	if err != nil {
		return fail(err)
	}
	if err := e.node.LinkSetUp(link); err != nil {
		return fail(err)
	}
	for _, p := range e.addresses {
		if err := e.node.addAddress(link, p, e.flags); err != nil {
			return fail(err)
		}
	}
	return nil
}

func (n *node) addAddress(link netlink.Link, p netip.Prefix, flags int) error {
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		addr.Flags = flags
	}
	if err := n.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("add address %s: %w", p, err)
	}
	return nil
}

// hop is one next hop of a route; without a gateway the destination itself is on the link.
type hop struct {
	gateway netip.Addr
	device  string
}

// lab's own route protocol number, so that public routes can be told from links' and anybody else's; 200 is free in
// linux/rtnetlink.h.
const routeProtocol = 200

// route puts dst over the hops; source is the preferred source address, the zero value leaves the choice to the kernel.
func (n *node) route(dst netip.Prefix, source netip.Addr, hops ...hop) error {
	r := &netlink.Route{Dst: ipNet(dst), Protocol: routeProtocol}
	if source.IsValid() {
		r.Src = source.AsSlice()
	}
	for _, h := range hops {
		link, err := n.LinkByName(h.device)
		if err != nil {
			return fmt.Errorf("add route %s in %s: device %s: %w", dst, n.ns.Name(), h.device, err)
		}
		next := &netlink.NexthopInfo{LinkIndex: link.Attrs().Index}
		if h.gateway.IsValid() {
			next.Gw, next.Flags = h.gateway.AsSlice(), unix.RTNH_F_ONLINK
		}
		r.MultiPath = append(r.MultiPath, next)
	}
	if len(r.MultiPath) == 1 {
		only := r.MultiPath[0]
		r.LinkIndex, r.Gw, r.Flags, r.MultiPath = only.LinkIndex, only.Gw, only.Flags, nil
	}
	if r.Gw == nil && r.MultiPath == nil && dst.Addr().Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := n.RouteReplace(r); err != nil {
		return fmt.Errorf("add route %s in %s: %w", dst, n.ns.Name(), err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// single is the prefix of one address, /32 or /128.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// defaultFor is the default route's destination in the family of a.
func defaultFor(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
