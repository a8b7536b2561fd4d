package overlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// Observed is what the kernel holds.
type Observed struct {
	State State
	Facts Facts
}

// Observe reads the kernel: the tenant namespaces and our part of the host's own. underlay is the address whose device
// and MTU the facts name.
func (k *Kernel) Observe(underlay netip.Addr) (Observed, error) {
	host, err := k.at(HostPlace)
	if err != nil {
		return Observed{}, err
	}
	facts, err := host.facts(underlay)
	if err != nil {
		return Observed{}, fmt.Errorf("observe the host's namespace: %w", err)
	}
	names, err := netns.List(k.prefix + topology.NamespacePrefix)
	if err != nil {
		return Observed{}, err
	}
	state := State{}
	for _, name := range names {
		place := Place(strings.TrimPrefix(name, k.prefix))
		inside, err := k.at(place)
		if errors.Is(err, netns.ErrNotExist) {
			continue
		}
		if err != nil {
			return Observed{}, err
		}
		o := observer{handle: inside}
		o.tenant()
		if o.err != nil {
			return Observed{}, fmt.Errorf("observe %s: %w", place, o.err)
		}
		state[HostPlace] = append(state[HostPlace], Namespace{Name: string(place)})
		state[place] = o.objects
	}
	o := observer{handle: host}
	o.host()
	if o.err != nil {
		return Observed{}, fmt.Errorf("observe the host's namespace: %w", o.err)
	}
	state[HostPlace] = append(state[HostPlace], o.objects...)
	return Observed{State: state, Facts: facts}, nil
}

func (h *handle) facts(underlay netip.Addr) (Facts, error) {
	links, err := again(h.LinkList)
	if err != nil {
		return Facts{}, err
	}
	facts := Facts{Devices: make(map[string]bool, len(links))}
	byIndex := make(map[int]netlink.Link, len(links))
	for _, l := range links {
		facts.Devices[l.Attrs().Name] = true
		byIndex[l.Attrs().Index] = l
	}
	addrs, err := again(func() ([]netlink.Addr, error) { return h.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return Facts{}, err
	}
	for _, a := range addrs {
		if l := byIndex[a.LinkIndex]; l != nil && addr(a.IP) == underlay {
			facts.Underlay, facts.UnderlayMTU = l.Attrs().Name, l.Attrs().MTU
		}
	}
	return facts, nil
}

// observer reads one place; the first error ends it.
type observer struct {
	*handle
	links   map[int]netlink.Link
	ports   map[string]bool
	objects []Object
	err     error
}

func (o *observer) add(objects ...Object) { o.objects = append(o.objects, objects...) }

func (o *observer) tenant() {
	o.readLinks()
	o.sysctls(namespaceWide)
	for _, l := range o.links {
		name := l.Attrs().Name
		if v, ok := vxlanOf(l); ok {
			o.add(v)
			continue
		}
		switch {
		case l.Attrs().Flags&net.FlagLoopback != 0:
		case name == topology.UplinkDevice && l.Type() == "veth":
			o.uplink(l)
		default:
			o.ports[name] = true
			o.add(Port{Device: name, MAC: mac(l.Attrs().HardwareAddr), down: isDown(l)})
			o.sysctls(portSysctls(name))
		}
	}
	o.addresses()
	o.neighbours(func(string) bool { return true })
	o.entries()
	o.routes()
}

func (o *observer) host() {
	o.readLinks()
	ours := make(map[string]bool)
	for _, l := range o.links {
		name := l.Attrs().Name
		if isUplinkPort(l) {
			ours[name] = true
		}
		if isUplinkPort(l) {
			o.sysctls(edgeSysctls(name))
		} else if l.Attrs().Flags&net.FlagLoopback == 0 {
			o.sysctls(edgeSysctls(name)[:1])
		}
	}
	o.neighbours(func(device string) bool { return ours[device] })
	o.routes()
}

// isUplinkPort recognises the host's end of an edge's veth.
func isUplinkPort(l netlink.Link) bool {
	return l.Type() == "veth" && mac(l.Attrs().HardwareAddr) == topology.UplinkHostMAC
}

func (o *observer) readLinks() {
	o.ports = make(map[string]bool)
	o.links = make(map[int]netlink.Link)
	var links []netlink.Link
	if links, o.err = again(o.LinkList); o.err != nil {
		return
	}
	for _, l := range links {
		o.links[l.Attrs().Index] = l
	}
}

// uplink reads a veth pair back, from the tenant's end.
func (o *observer) uplink(l netlink.Link) {
	host, err := o.kernel.at(HostPlace)
	if err != nil {
		o.err = err
		return
	}
	u := Uplink{MAC: mac(l.Attrs().HardwareAddr), MTU: l.Attrs().MTU, down: isDown(l)}
	// A peer that is missing leaves the port empty: the difference makes the pair anew.
	if peer, err := host.LinkByIndex(l.Attrs().ParentIndex); err == nil {
		u.Port, u.PortMAC = peer.Attrs().Name, mac(peer.Attrs().HardwareAddr)
		u.down = u.down || isDown(peer)
	}
	o.add(u)
}

func (o *observer) sysctls(wanted []Sysctl) {
	for _, s := range wanted {
		value, err := o.sysctl(s.Path)
		if err != nil {
			continue // the device is on its way out, or the kernel lacks the parameter: the write will tell
		}
		s.Value = value
		o.add(s)
	}
}

func (o *observer) addresses() {
	if o.err != nil {
		return
	}
	addrs, err := again(func() ([]netlink.Addr, error) { return o.AddrList(nil, unix.AF_UNSPEC) })
	o.err = err
	for _, a := range addrs {
		l := o.links[a.LinkIndex]
		if l == nil || l.Attrs().Flags&net.FlagLoopback != 0 {
			continue
		}
		ones, _ := a.Mask.Size()
		name := l.Attrs().Name
		o.add(Address{Device: name, Prefix: netip.PrefixFrom(addr(a.IP), ones), port: o.ports[name]})
	}
}

func (o *observer) neighbours(ours func(device string) bool) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if o.err != nil {
			return
		}
		entries, err := again(func() ([]netlink.Neigh, error) { return o.NeighList(0, family) })
		o.err = err
		for _, n := range entries {
			l := o.links[n.LinkIndex]
			if l == nil || n.State != netlink.NUD_PERMANENT || !ours(l.Attrs().Name) {
				continue
			}
			name := l.Attrs().Name
			o.add(Neighbour{Device: name, IP: addr(n.IP), MAC: mac(n.HardwareAddr), port: o.ports[name]})
		}
	}
}

func (o *observer) entries() {
	if o.err != nil {
		return
	}
	entries, err := again(func() ([]netlink.Neigh, error) { return o.NeighList(0, unix.AF_BRIDGE) })
	o.err = err
	for _, n := range entries {
		l := o.links[n.LinkIndex]
		if l == nil || l.Type() != "vxlan" || n.IP == nil {
			continue
		}
		o.add(FDB{Device: l.Attrs().Name, MAC: mac(n.HardwareAddr), Dst: addr(n.IP)})
	}
}

func (o *observer) routes() {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if o.err != nil {
			return
		}
		list, err := again(func() ([]netlink.Route, error) {
			return o.RouteListFiltered(family, &netlink.Route{Protocol: Protocol}, netlink.RT_FILTER_PROTOCOL)
		})
		o.err = err
		for _, r := range list {
			if route, ok := o.route(family, r); ok {
				o.add(route)
			}
		}
	}
}

func (o *observer) route(family int, r netlink.Route) (Route, bool) {
	out := Route{Dst: anywhereIPv4}
	if family == unix.AF_INET6 {
		out.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if r.Dst != nil {
		ones, _ := r.Dst.Mask.Size()
		out.Dst = netip.PrefixFrom(addr(r.Dst.IP), ones)
	}
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
		out.Hops = append(out.Hops, hop)
	}
	out.late = o.ports[out.Hops[0].Device] || o.place == HostPlace
	return out, true
}

// again repeats a dump that a concurrent change interrupted; the result of such a dump may lack entries.
func again[T any](dump func() ([]T, error)) ([]T, error) {
	const tries = 20
	var list []T
	var err error
	for range tries {
		if list, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

func isDown(l netlink.Link) bool { return l.Attrs().Flags&net.FlagUp == 0 }

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func mac(hw net.HardwareAddr) config.MAC {
	var m config.MAC
	copy(m[:], hw)
	return m
}
