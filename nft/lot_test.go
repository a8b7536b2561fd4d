package nft

import (
	"maps"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

var (
	server = netip.MustParseAddr("198.51.100.1")
	vmMAC  = config.MAC{0x52, 0x54, 0, 0, 0, 0x0a}

	hv1MAC   = topology.RouterMAC(1)
	hv2MAC   = topology.RouterMAC(2)
	edge1MAC = topology.RouterMAC(3)
	edge2MAC = topology.RouterMAC(4)
	alienMAC = topology.RouterMAC(99)
)

// lot is hv1's namespace with cables to a second one, in which frames are made and caught.
type lot struct {
	*stage
	vx, tap, uplink *wire
	wires           []*wire
	far             *netns.NS
	farLink         *netlink.Handle
}

// newLot makes the rules' namespace as the overlay's room would, the VXLAN device being a cable.
func newLot(t testing.TB, tenant topology.Tenant) *lot {
	t.Helper()
	return newLotOver(t, tenant, func(l *lot, farLink *netlink.Handle) *wire { return l.cable(l.far, farLink, "vx100", hv1MAC, 1450) })
}

// newLotOver is newLot with another device for the overlay.
func newLotOver(t testing.TB, tenant topology.Tenant, overlay func(l *lot, farLink *netlink.Handle) *wire) *lot {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	oneCPU(t)
	ns, link := newNamespace(t)
	farNS, farLink := newNamespace(t)
	s := &stage{TB: t, ns: ns, link: link}
	l := &lot{stage: s, far: farNS, farLink: farLink}
	// What a device says by itself when it comes up would be counted.
	setSysctls(t, farNS, "net/ipv6/conf/default/disable_ipv6=1")
	setSysctls(t, ns, "net/ipv6/conf/default/disable_ipv6=1")
	cable := func(name string, mac config.MAC, mtu int) *wire { return s.cable(farNS, farLink, name, mac, mtu) }
	l.vx = overlay(l, farLink)
	l.tap = cable("tap-a", topology.GatewayMAC, 1500)
	l.uplink = cable(topology.UplinkDevice, topology.UplinkTenantMAC, 1450)
	l.wires = []*wire{l.vx, l.tap, l.uplink}
	l.routes(tenant)
	s.dial()
	s.become(Desired(tenant))
	setSysctls(t, ns, "net/ipv4/conf/all/rp_filter=0", "net/ipv4/conf/vx100/rp_filter=0", "net/ipv4/conf/tap-a/rp_filter=0", "net/ipv4/conf/uplink/rp_filter=0",
		"net/ipv4/conf/all/send_redirects=0", "net/ipv4/conf/vx100/send_redirects=0", "net/ipv4/icmp_ratelimit=0", "net/ipv4/ip_forward=1")
	return l
}

// cable leads from a device of the stage to another namespace.
func (s *stage) cable(farNS *netns.NS, farLink *netlink.Handle, name string, mac config.MAC, mtu int) *wire {
	s.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = name, net.HardwareAddr(mac[:]), mtu
	must(s, s.link.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far-" + name, PeerNamespace: netlink.NsFd(farNS.Fd())}))
	near, err := s.link.LinkByName(name)
	must(s, err)
	must(s, s.link.LinkSetUp(near))
	far, err := farLink.LinkByName("far-" + name)
	must(s, err)
	must(s, farLink.LinkSetMTU(far, 9000))
	must(s, farLink.LinkSetUp(far))
	return newWire(s, farNS, far)
}

// oneCPU keeps the test's thread on one processor: a frame has then gone its way when the next one is sent.
func oneCPU(t testing.TB) {
	t.Helper()
	var all, one unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &all))
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	must(t, unix.SchedSetaffinity(0, &one))
	t.Cleanup(func() { must(t, unix.SchedSetaffinity(0, &all)) })
}

// routes puts in what the overlay room does: peers, VMs, the way out.
func (l *lot) routes(tenant topology.Tenant) {
	l.Helper()
	index := func(name string) int {
		link, err := l.link.LinkByName(name)
		must(l, err)
		return link.Attrs().Index
	}
	vx, tap, uplink := index("vx100"), index("tap-a"), index(topology.UplinkDevice)
	neighbour := func(device int, ip netip.Addr, mac config.MAC) {
		must(l, l.link.NeighSet(&netlink.Neigh{LinkIndex: device, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac[:]}))
	}
	route := func(device int, to netip.Prefix, via netip.Addr) {
		r := netlink.Route{LinkIndex: device, Dst: &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), 32)}, Scope: netlink.SCOPE_LINK}
		if via.IsValid() {
			r.Gw, r.Flags, r.Scope = via.AsSlice(), int(netlink.FLAG_ONLINK), netlink.SCOPE_UNIVERSE
		}
		must(l, l.link.RouteAdd(&r))
	}
	one := func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 32) }
	device, err := l.link.LinkByIndex(vx)
	must(l, err)
	must(l, l.link.AddrAdd(device, &netlink.Addr{IPNet: &net.IPNet{IP: tenant.Self.IPv4.AsSlice(), Mask: net.CIDRMask(32, 32)}}))
	for _, p := range tenant.Peers {
		neighbour(vx, p.IPv4, p.MAC)
		route(vx, one(p.IPv4), netip.Addr{})
	}
	for _, r := range tenant.Remote {
		if r.Address.Is4() {
			route(vx, one(r.Address), r.Peer.IPv4)
		}
	}
	neighbour(tap, vmA, vmMAC)
	route(tap, one(vmA), netip.Addr{})
	neighbour(uplink, topology.UplinkHost, topology.UplinkHostMAC)
	anywhere := netip.MustParsePrefix("0.0.0.0/0")
	if !tenant.Hypervisor {
		route(vx, one(public), tenant.Peers[0].IPv4)
	}
	if tenant.Edge {
		route(uplink, anywhere, topology.UplinkHost)
		return
	}
	route(vx, anywhere, tenant.Peers[1].IPv4)
}

// setSysctls sets kernel parameters of a namespace, written as path=value.
func setSysctls(t testing.TB, ns *netns.NS, assignments ...string) {
	t.Helper()
	for _, a := range assignments {
		path, value, _ := strings.Cut(a, "=")
		must(t, ns.Do(func() error { return os.WriteFile("/proc/sys/"+path, []byte(value), 0) }))
	}
}

// pass sends frames in by a wire and returns what came out anywhere, and what was counted. A frame goes all its way on the
// thread that sends it, so nothing is waited for.
func (l *lot) pass(in *wire, frames ...frame) (out []string, counted map[string]uint64) {
	l.Helper()
	before := l.counts()
	l.received()
	for _, f := range frames {
		in.send(f)
	}
	out = l.received()
	counted = l.counts()
	for name, n := range before {
		if counted[name] -= n; counted[name] == 0 {
			delete(counted, name)
		}
	}
	return out, counted
}

func (l *lot) received() []string {
	var out []string
	for _, w := range l.wires {
		out = append(out, w.received()...)
	}
	return out
}

// entries is how many flows conntrack knows in the namespace.
func (l *lot) entries() int {
	l.Helper()
	var n int
	must(l, l.ns.Do(func() (err error) {
		n, err = readNumber("/proc/sys/net/netfilter/nf_conntrack_count")
		return err
	}))
	return n
}

// expect passes frames and compares what came out and what was counted; no counts stands for none.
func (l *lot) expect(in *wire, want []string, counts map[string]uint64, frames ...frame) {
	l.Helper()
	out, counted := l.pass(in, frames...)
	if diff := cmp.Diff(append([]string{}, want...), append([]string{}, out...)); diff != "" {
		l.Errorf("what came out (-want +got):\n%s", diff)
	}
	if !maps.Equal(counted, counts) {
		l.Errorf("counted %v, want %v", counted, counts)
	}
}

// readNumber reads a kernel parameter of the calling thread's namespace.
func readNumber(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}
