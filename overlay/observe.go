package overlay

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	names, err := netns.List(k.prefix + topology.NamespacePrefix)
	if err != nil {
		return Observed{}, err
	}
	out, err := k.observe(underlay, names, false, takeAll)
	return out, errors.Join(err, k.leave())
}

// take is told of the host's facts, and of each place's objects; those that it returns are part of what was observed.
type take struct {
	facts func(Facts) error
	place func(Place, []Object) ([]Object, error)
}

// takeAll keeps everything.
var takeAll = take{func(Facts) error { return nil }, func(_ Place, objects []Object) ([]Object, error) { return objects, nil }}

// existing are the names of the places' namespaces that there are.
func (k *Kernel) existing(places []Place) ([]string, error) {
	var names []string
	for _, p := range places {
		name := k.prefix + string(p)
		there, err := netns.Exists(name)
		if err != nil {
			return nil, err
		}
		if there {
			names = append(names, name)
		}
	}
	return names, nil
}

func (k *Kernel) observe(underlay netip.Addr, names []string, only bool, take take) (Observed, error) {
	root, err := k.at(HostPlace)
	if err != nil {
		return Observed{}, err
	}
	host := observer{handle: root, paired: make(map[string]bool), only: only}
	host.readLinks()
	facts := host.facts(underlay)
	if host.err != nil {
		return Observed{}, fmt.Errorf("observe the host's namespace: %w", host.err)
	}
	if err := take.facts(facts); err != nil {
		return Observed{}, err
	}
	state := State{}
	for _, name := range names {
		k.progress()
		place := Place(strings.TrimPrefix(name, k.prefix))
		ns := Namespace{Name: string(place)}
		inside, err := k.at(place)
		switch {
		case errors.Is(err, netns.ErrNotExist):
			ns.flaw = flawFile
		case err != nil:
			return Observed{}, err
		default:
			o := observer{handle: inside}
			o.tenant(&host)
			if o.err != nil {
				return Observed{}, fmt.Errorf("observe %s: %w", place, o.err)
			}
			if state[place], err = take.place(place, o.objects); err != nil {
				return Observed{}, err
			}
			if o.loDown {
				ns.flaw = flawLo
			}
		}
		host.add(ns)
	}
	k.progress()
	host.host()
	if host.err != nil {
		return Observed{}, fmt.Errorf("observe the host's namespace: %w", host.err)
	}
	state[HostPlace] = host.objects
	return Observed{State: state, Facts: facts}, nil
}

// observer reads one place; the first error ends it.
type observer struct {
	*handle
	links   map[int]netlink.Link
	ports   map[string]bool
	loDown  bool
	objects []Object
	err     error
	// paired, in the host's namespace, are the ends of veth pairs that tenant namespaces have the other end of.
	paired map[string]bool
	// only, in the host's namespace, means that not all tenant namespaces are observed.
	only bool
}

func (o *observer) add(objects ...Object) { o.objects = append(o.objects, objects...) }

func (o *observer) facts(underlay netip.Addr) Facts {
	facts := Facts{Devices: make(map[string]bool, len(o.links)), Addressed: make(map[string]bool)}
	for _, l := range o.links {
		facts.Devices[l.Attrs().Name] = true
	}
	for _, a := range o.addrList() {
		l := o.links[a.LinkIndex]
		if l == nil {
			continue
		}
		if addr(a.IP).IsGlobalUnicast() {
			facts.Addressed[l.Attrs().Name] = true
		}
		if addr(a.IP) == underlay {
			facts.Underlay, facts.UnderlayMTU = l.Attrs().Name, l.Attrs().MTU
		}
	}
	return facts
}

func (o *observer) tenant(host *observer) {
	o.readLinks()
	for _, l := range o.links {
		name := l.Attrs().Name
		v, isVXLAN := vxlanOf(l)
		switch {
		case isVXLAN:
			o.add(v)
		case isLoopback(l):
			o.loDown = isDown(l)
		case isUplink(l):
			o.add(host.pair(l))
		case name == topology.HandoverDevice && isLoop(l):
			o.add(o.loop(l))
		case isPort(l):
			o.ports[name] = true
			o.add(Port{Device: name, MAC: mac(l.Attrs().HardwareAddr), down: isDown(l)})
		}
	}
	// Those of one protocol are read together: they have a folder of their own.
	o.readSysctls(slices.Concat(o.portParameters(), []Sysctl{acceptLocal}, namespaceWide, timeouts(config.Timeouts{})))
	o.addresses()
	o.neighbours(func(string) bool { return true })
	o.entries()
	o.rules()
	o.routes()
}

// pair reads a veth pair back, given the tenant's end. A peer that is missing leaves the port empty: the difference makes
// the pair anew.
func (o *observer) pair(inside netlink.Link) Uplink {
	a := inside.Attrs()
	u := Uplink{MAC: mac(a.HardwareAddr), MTU: a.MTU, down: isDown(inside)}
	if outside := o.links[a.ParentIndex]; outside != nil && isPair(inside, outside) {
		b := outside.Attrs()
		o.paired[b.Name] = true
		u.Port, u.PortMAC, u.down = b.Name, mac(b.HardwareAddr), u.down || isDown(outside)
		if b.MTU != a.MTU {
			u.portMTU = b.MTU
		}
	}
	return u
}

func (o *observer) host() {
	wanted := []Sysctl{forwardingIPv6}
	for _, l := range o.links {
		name := l.Attrs().Name
		switch {
		case o.paired[name]:
			wanted = append(wanted, edgeSysctls(name)...)
		case isUplinkPort(l):
			if !o.only {
				o.add(Orphan{name})
			}
		case !isLoopback(l):
			wanted = append(wanted, edgeSysctls(name)[:1]...)
		}
	}
	o.readSysctls(wanted)
	o.neighbours(func(device string) bool { return o.paired[device] })
	o.routes()
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

func (o *observer) readSysctls(wanted []Sysctl) {
	if o.err != nil {
		return
	}
	var found []Object
	found, o.err = o.sysctls(wanted)
	o.add(found...)
}

func (o *observer) addrList() []netlink.Addr {
	if o.err != nil {
		return nil
	}
	addrs, err := again(func() ([]netlink.Addr, error) { return o.AddrList(nil, unix.AF_UNSPEC) })
	o.err = err
	return addrs
}

func (o *observer) addresses() {
	for _, a := range o.addrList() {
		l := o.links[a.LinkIndex]
		if l == nil || isLoopback(l) && a.IP.IsLoopback() {
			continue
		}
		ones, _ := a.Mask.Size()
		name := l.Attrs().Name
		o.add(Address{Device: name, Prefix: netip.PrefixFrom(addr(a.IP), ones), late: o.ports[name] || isLoopback(l)})
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
