package overlay

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// Loop is the veth pair by which a node sends to backends of its own host, both ends in the tenant's namespace. The VXLAN
// device would hand such a frame back with the note that connection tracking shall leave it alone
// (drivers/net/vxlan/vxlan_core.c, vxlan_encap_bypass); a veth forgets it.
type Loop struct {
	// MTU in bytes, that of the VXLAN device.
	MTU int
	// MAC is that of the end that sends.
	MAC config.MAC
	// open is true if the other end is elsewhere, down if one end is.
	open, down bool
}

func (o Loop) String() string {
	open := ""
	if o.open {
		open = " elsewhere"
	}
	return fmt.Sprintf("link %s address %s mtu %d type veth peer %s%s %s", topology.HandoverDevice, o.MAC, o.MTU, topology.DeliveryDevice, open, upDown(o.down))
}
func (o Loop) key() key       { return linkKey(topology.HandoverDevice) }
func (o Loop) device() string { return topology.HandoverDevice }
func (o Loop) stage() stage   { return stageLink }

// outlives reports whether the pair can become o without being made anew.
func (o Loop) outlives(old Object) bool {
	was, ok := old.(Loop)
	return ok && !was.open
}

func (o Loop) put(h *handle) error {
	sends, err := h.LinkByName(topology.HandoverDevice)
	if err != nil && !isLinkNotFound(err) {
		return err
	}
	if err == nil {
		receives, err := h.LinkByName(topology.DeliveryDevice)
		if err != nil && !isLinkNotFound(err) {
			return err
		}
		if err == nil && isPair(sends, receives) {
			return errors.Join(
				h.LinkSetMTU(sends, o.MTU), h.LinkSetMTU(receives, o.MTU), h.setMAC(sends, o.MAC),
				h.LinkSetUp(sends), h.LinkSetUp(receives),
			)
		}
	}
	if err := errors.Join(h.remove(topology.HandoverDevice), h.remove(topology.DeliveryDevice)); err != nil {
		return err
	}
	err = h.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: topology.HandoverDevice, MTU: o.MTU, HardwareAddr: hw(o.MAC), TxQLen: -1},
		PeerName:  topology.DeliveryDevice, PeerMTU: uint32(o.MTU),
	})
	if err != nil {
		return err
	}
	return errors.Join(h.setUp(topology.HandoverDevice), h.setUp(topology.DeliveryDevice))
}

func (o Loop) drop(h *handle) error { return h.remove(topology.HandoverDevice) }

func (o Loop) commands(at Place) []string {
	return []string{
		at.in("ip", "link add %s address %s mtu %d type veth peer name %s mtu %[3]d", topology.HandoverDevice, o.MAC, o.MTU, topology.DeliveryDevice),
		at.in("ip", "link set %s up", topology.HandoverDevice),
		at.in("ip", "link set %s up", topology.DeliveryDevice),
	}
}

// isLoop recognises both ends of a loop.
func isLoop(l netlink.Link) bool {
	name := l.Attrs().Name
	return l.Type() == "veth" && (name == topology.HandoverDevice || name == topology.DeliveryDevice)
}

// loop reads a loop back, given the end that sends.
func (o *observer) loop(sends netlink.Link) Loop {
	a := sends.Attrs()
	l := Loop{MTU: a.MTU, MAC: mac(a.HardwareAddr), down: isDown(sends), open: true}
	if receives := o.links[a.ParentIndex]; receives != nil && isPair(sends, receives) && isLoop(receives) {
		l.open, l.down = false, l.down || isDown(receives)
		l.MTU = min(l.MTU, receives.Attrs().MTU)
	}
	return l
}

// acceptLocal lets in what comes from an address of the namespace itself: answers of a load balancer's backends that pass an edge
// that is a node, and flows from the tenant's NAT gateway to its own load balancer.
var acceptLocal = Sysctl{Path: "net/ipv4/conf/all/accept_local", Value: "1", at: stageSysctl}

// node is what a load balancer's node has: the addresses, so that packets for them are delivered to IPVS, and the way to backends.
func (b *builder) node() {
	t, vx := b.tenant, b.tenant.Device()
	b.add(acceptLocal)
	for _, a := range slices.Concat(t.Listening(true), t.Listening(false)) {
		b.add(Address{Device: "lo", Prefix: host(a), late: true})
	}
	if t.Hypervisor {
		b.add(Loop{MTU: b.mtu, MAC: topology.HandoverMAC})
		b.localFor()
	}
	for _, is4 := range []bool{true, false} {
		if len(t.Listening(is4)) > 0 {
			// Without it, what is for a backend that is gone would take the default route, and come back.
			b.add(Route{Dst: topology.BackendPrefix(t.Overlay, is4), Hops: []Hop{{Device: vx}}})
		}
	}
	for _, balancer := range t.Balancers {
		for _, backend := range balancer.Backends {
			switch {
			case backend.Down:
			case backend.Local:
				b.add(
					Neighbour{Device: topology.HandoverDevice, IP: backend.Address, MAC: backend.MAC},
					Route{Dst: host(backend.Address), Hops: []Hop{{Device: topology.HandoverDevice}}},
				)
			default:
				b.add(
					FDB{Device: vx, MAC: backend.MAC, Dst: backend.Peer.Underlay},
					Neighbour{Device: vx, IP: backend.Address, MAC: backend.MAC},
				)
			}
		}
	}
	for _, p := range t.Nodes() {
		if p.ID != t.Self.ID {
			b.add(
				FDB{Device: vx, MAC: topology.SyncMAC, Dst: p.Underlay},
				// As all hosts have it for IPv4: nodes ask each other.
				Route{Dst: host(p.IPv6), Hops: []Hop{{Device: vx}}, early: true},
			)
		}
	}
}

// entrances are the hosts that an edge sends packets for a public address of no virtual IP to.
func (b *builder) entrances(public netip.Addr, nat bool) []Hop {
	balanced := slices.Contains(b.tenant.Listening(public.Is4()), public)
	able := slices.DeleteFunc(slices.Clone(b.tenant.Peers), func(p topology.Peer) bool {
		return !(nat && p.Hypervisor || balanced && p.Balancer)
	})
	var in []Hop
	for _, p := range topology.Present(able) {
		in = append(in, Hop{Via: p.Overlay(public), Device: b.tenant.Device()})
	}
	return in
}
