package overlay

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/topology"
)

// State is what the kernel holds, or should hold, by place.
type State map[Place][]Object

// Facts are what the kernel alone knows and the desired state depends on.
type Facts struct {
	// Underlay is the device with the host's underlay address and its MTU in bytes; empty if no device has it.
	Underlay    string
	UnderlayMTU int
	// Devices are the links of the host's namespace; Addressed are those that have an address that is not link-local.
	Devices, Addressed map[string]bool
}

// Encapsulation overhead in bytes: inner Ethernet 14, VXLAN 8, UDP 8, and the outer IP header (RFC 7348 section 5).
const (
	overheadIPv4 = 14 + 8 + 8 + 20
	overheadIPv6 = 14 + 8 + 8 + 40
)

// MTU is that of a VXLAN device in bytes over an underlay with the given address and MTU.
func MTU(underlay netip.Addr, underlayMTU int) int {
	if underlay.Is4() {
		return underlayMTU - overheadIPv4
	}
	return underlayMTU - overheadIPv6
}

var (
	gatewayIPv6   = netip.MustParsePrefix("fe80::1/64")
	anywhereIPv4  = netip.MustParsePrefix("0.0.0.0/0")
	anywhereIPv6  = netip.MustParsePrefix("::/0")
	namespaceWide = []Sysctl{
		// Replies, redirected packets and VIPs arrive by devices that are not the way back.
		{Path: "net/ipv4/conf/all/rp_filter", Value: "0", at: stageSysctl},
		{Path: "net/ipv4/conf/default/rp_filter", Value: "0", at: stageSysctl},
		// VM to VM passes in and out of one device; nobody here shall learn routes from that.
		{Path: "net/ipv4/conf/all/send_redirects", Value: "0", at: stageSysctl},
		{Path: "net/ipv4/conf/default/send_redirects", Value: "0", at: stageSysctl},
		{Path: "net/ipv4/conf/all/accept_redirects", Value: "0", at: stageSysctl},
		{Path: "net/ipv4/conf/default/accept_redirects", Value: "0", at: stageSysctl},
		// An edge chooses among hosts by the addresses alone, like the router that it stands in for.
		{Path: "net/ipv4/fib_multipath_hash_policy", Value: "0", at: stageSysctl},
		{Path: "net/ipv4/ip_forward", Value: "1", at: stageForwarding},
		// The overlay has no multicast: nothing could be found out by duplicate address detection or router discovery.
		{Path: "net/ipv6/conf/default/accept_dad", Value: "0", at: stageSysctl},
		{Path: "net/ipv6/conf/default/accept_ra", Value: "0", at: stageSysctl},
		{Path: "net/ipv6/conf/default/addr_gen_mode", Value: "1", at: stageSysctl},
		{Path: "net/ipv6/conf/all/forwarding", Value: "1", at: stageForwarding},
	}
)

// portSysctls are the parameters of a VM's device: answer ARP for everything that is not the VM, and at once.
func portSysctls(device string) []Sysctl {
	return []Sysctl{
		{Path: proxyARP(device), Value: "1", Device: device, at: stagePortSysctl},
		{Path: "net/ipv4/neigh/" + device + "/proxy_delay", Value: "0", Device: device, at: stagePortSysctl},
	}
}

func proxyARP(device string) string { return "net/ipv4/conf/" + device + "/proxy_arp" }

// edgeSysctls are the parameters of the devices in an edge's own namespace that public traffic passes. Only what has a way
// back by the tenant's device comes in by it (RFC 3704 section 2.2): its public addresses, whatever the rules are at that moment.
func edgeSysctls(device string) []Sysctl {
	return []Sysctl{
		{Path: "net/ipv4/conf/" + device + "/forwarding", Value: "1", Device: device, at: stageForwarding},
		{Path: "net/ipv4/conf/" + device + "/rp_filter", Value: "1", Device: device, at: stageLinkSysctl},
	}
}

// forwardingIPv6 lets an edge's own namespace forward IPv6: the kernel asks for the whole namespace, not for the two devices.
var forwardingIPv6 = Sysctl{Path: "net/ipv6/conf/all/forwarding", Value: "1", at: stageForwarding}

// Desired computes what the host's kernel should hold. It fails if the underlay address is on no device.
func Desired(host topology.Host, facts Facts) (State, error) {
	w, err := newWanted(host, facts)
	if err != nil {
		return nil, err
	}
	state := State{}
	for _, t := range host.Tenants {
		if state[Place(t.Namespace())], err = w.tenant(t); err != nil {
			return nil, err
		}
	}
	state[HostPlace] = w.ownPart()
	return state, nil
}

// wanted computes what a host's kernel should hold, one tenant after the other.
type wanted struct {
	host  topology.Host
	facts Facts
	mtu   int
	// own is what the tenants so far need in the host's own namespace; edge says that one of them is to be reached from outside, edge6
	// with IPv6.
	own         []Object
	edge, edge6 bool
}

func newWanted(host topology.Host, facts Facts) (*wanted, error) {
	if facts.Underlay == "" {
		return nil, fmt.Errorf("no device of this host has the underlay address %s; assign it, or correct the host's underlay in the fleet", host.Underlay)
	}
	mtu := MTU(host.Underlay, facts.UnderlayMTU)
	if mtu < 1280 {
		return nil, fmt.Errorf("underlay device %s has MTU %d: too small for IPv6 inside VXLAN; raise it to %d at least", facts.Underlay, facts.UnderlayMTU, 1280+facts.UnderlayMTU-mtu)
	}
	return &wanted{host: host, facts: facts, mtu: mtu}, nil
}

// tenant returns what the tenant's namespace should hold.
func (w *wanted) tenant(t topology.Tenant) ([]Object, error) {
	if err := checkDevices(w.host, t, w.facts); err != nil {
		return nil, err
	}
	b := builder{tenant: t, mtu: w.mtu}
	b.common(w.host.Underlay, w.host.Port)
	if t.Hypervisor {
		b.hypervisor()
		b.timeouts()
	}
	if t.Balancer {
		b.node()
	}
	b.outside()
	if t.Edge {
		w.edge = true
		w.edge6 = w.edge6 || len(t.Publics(false)) > 0
		b.edge()
	}
	w.own = append(append(w.own, Namespace{Name: t.Namespace()}), b.host...)
	return b.objects, nil
}

// ownPart is what the host's own namespace should hold for the tenants.
func (w *wanted) ownPart() []Object {
	out := w.own
	if w.edge {
		out = append(out, sysctls(edgeSysctls(w.host.Uplink)[:1])...)
	}
	if w.edge6 {
		out = append(out, forwardingIPv6)
	}
	return out
}

// checkDevices refuses VM devices that would take the host off the net, or a device of ours off its name.
func checkDevices(host topology.Host, t topology.Tenant, facts Facts) error {
	for _, i := range t.Interfaces {
		use := ""
		switch i.Device {
		case facts.Underlay:
			use = "the host's underlay"
		case host.Uplink:
			use = "the host's uplink"
		case "lo", topology.UplinkDevice, topology.HandoverDevice, topology.DeliveryDevice, t.Device():
			use = "a device that every namespace of the tenant has"
		default:
			if !facts.Addressed[i.Device] {
				continue
			}
			// A typo, most likely: moved away, it would come back without the addresses.
			use = "in use by the host itself, it has addresses; remove them if it is the VM's"
		}
		return fmt.Errorf("interface %s of tenant %s: device %s is %s; name the VM's device in the fleet", i.Name, t.Name, i.Device, use)
	}
	return nil
}

// builder collects the objects of one tenant.
type builder struct {
	tenant  topology.Tenant
	mtu     int
	objects []Object
	host    []Object
}

func (b *builder) add(o ...Object) { b.objects = append(b.objects, o...) }

// common is what every host has that holds the tenant: the way to the other holders.
func (b *builder) common(underlay netip.Addr, port uint16) {
	t, vx := b.tenant, b.tenant.Device()
	b.add(sysctls(namespaceWide)...)
	b.add(
		VXLAN{Name: vx, VNI: t.VNI, Local: underlay, Port: port, MAC: t.Self.MAC, MTU: b.mtu},
		Address{Device: vx, Prefix: host(t.Self.IPv4)},
		Address{Device: vx, Prefix: host(t.Self.IPv6)},
	)
	for _, p := range t.Peers {
		b.add(
			Neighbour{Device: vx, IP: p.IPv4, MAC: p.MAC},
			Neighbour{Device: vx, IP: p.IPv6, MAC: p.MAC},
			FDB{Device: vx, MAC: p.MAC, Dst: p.Underlay},
			// What is sent to a peer by its overlay address, as dup does, must not take the default route.
			Route{Dst: host(p.IPv4), Hops: []Hop{{Device: vx}}},
		)
	}
}

// hypervisor is what a host has for its VMs: their devices and the way to other hosts' VMs.
func (b *builder) hypervisor() {
	t, vx := b.tenant, b.tenant.Device()
	for _, r := range t.Remote {
		b.add(Route{Dst: host(r.Address), Hops: []Hop{{Via: r.Peer.Overlay(r.Address), Device: vx}}})
	}
	for _, i := range t.Interfaces {
		b.add(Port{Device: i.Device, MAC: topology.GatewayMAC}, Address{Device: i.Device, Prefix: gatewayIPv6, late: true})
		b.add(sysctls(portSysctls(i.Device))...)
		for _, a := range i.Addresses {
			b.add(
				Neighbour{Device: i.Device, IP: a, MAC: i.MAC, port: true},
				Route{Dst: host(a), Hops: []Hop{{Device: i.Device}}, late: true},
				Fallback{Dst: host(a)},
			)
		}
	}
	for _, a := range t.Unreachable {
		b.add(Fallback{Dst: host(a)})
	}
}

// outside is the way out, over the edges. A host that is an edge itself goes out by its own uplink.
func (b *builder) outside() {
	t, vx := b.tenant, b.tenant.Device()
	if t.Edge {
		return
	}
	for _, anywhere := range []netip.Prefix{anywhereIPv4, anywhereIPv6} {
		var out []Hop
		// Without public addresses of the family nothing has business outside.
		if len(t.Publics(anywhere.Addr().Is4())) > 0 {
			edges := slices.DeleteFunc(slices.Clone(t.Peers), func(p topology.Peer) bool { return !p.Edge })
			for _, p := range topology.Present(edges) {
				out = append(out, Hop{Via: p.Overlay(anywhere.Addr()), Device: vx})
			}
		}
		if len(out) == 0 && anywhere == anywhereIPv4 && t.Hypervisor {
			// Proxy ARP answers only for what has a route by another device (net/ipv4/arp.c, arp_process): without one, VMs
			// would not even find the way to each other. The rules refuse what takes this one.
			b.add(Neighbour{Device: vx, IP: t.Nowhere.IPv4, MAC: t.Nowhere.MAC})
			out = []Hop{{Via: t.Nowhere.IPv4, Device: vx}}
		}
		if len(out) > 0 {
			b.add(Route{Dst: anywhere, Hops: out})
		}
	}
}

// edge is the link to the host's namespace, the public addresses' way in, and the way out.
func (b *builder) edge() {
	t, port := b.tenant, b.tenant.UplinkPort()
	b.add(Uplink{Port: port, MAC: topology.UplinkTenantMAC, PortMAC: topology.UplinkHostMAC, MTU: b.mtu})
	b.host = append(b.host, sysctls(edgeSysctls(port))...)
	b.uplink(anywhereIPv4, topology.UplinkHost, topology.UplinkTenant)
	b.uplink(anywhereIPv6, topology.UplinkHost6, topology.UplinkTenant6)
	b.exempted()
	// A hypervisor or a node knows the owner of every port and VIP itself and needs no chance.
	if t.Hypervisor || t.Balancer {
		return
	}
	publics := t.Balanced(true)
	if t.NAT != nil {
		publics = append(publics, t.NAT.Addresses...)
	}
	for _, a := range append(publics, t.Balanced(false)...) {
		nat := t.NAT != nil && slices.Contains(t.NAT.Addresses, a)
		if !nat && !t.Answered(a) {
			continue
		}
		if in := b.entrances(a, nat); len(in) > 0 {
			b.add(Route{Dst: host(a), Hops: in})
		}
	}
	for _, v := range t.VIPs {
		if !v.Down {
			b.add(Route{Dst: host(v.Public), Hops: []Hop{{Via: v.Peer.Overlay(v.Public), Device: t.Device()}}})
		}
	}
}

// uplink is one family's way over the link between the two namespaces, if the tenant has public addresses of the family.
func (b *builder) uplink(anywhere netip.Prefix, outside, inside netip.Addr) {
	t, port := b.tenant, b.tenant.UplinkPort()
	publics := t.Publics(anywhere.Addr().Is4())
	if len(publics) == 0 {
		return
	}
	b.add(
		Neighbour{Device: topology.UplinkDevice, IP: outside, MAC: topology.UplinkHostMAC},
		Route{Dst: anywhere, Hops: []Hop{{Via: outside, Device: topology.UplinkDevice}}},
	)
	b.host = append(b.host, Neighbour{Device: port, IP: inside, MAC: topology.UplinkTenantMAC})
	for _, a := range publics {
		b.host = append(b.host, Route{Dst: host(a), Hops: []Hop{{Via: inside, Device: port}}, late: true})
	}
}

// host is the prefix that holds the address alone.
func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func sysctls(s []Sysctl) []Object {
	out := make([]Object, len(s))
	for i := range s {
		out[i] = s[i]
	}
	return out
}
