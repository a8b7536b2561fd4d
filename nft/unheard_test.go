package nft

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// tooBig is an error of the VM's that names a path MTU of 600 to a destination. It quotes an echo reply, which is what
// the kernel believes an error about without asking a socket.
func tooBig(to, quotedSource, quotedDestination netip.Addr) frame {
	e := icmpError(3, 4, frame{source: quotedSource, destination: quotedDestination, ttl: 64, protocol: icmpProtocol, payload: echo(0, 1)})
	e[6], e[7] = 600>>8, 600&0xff
	return frame{from: vmMAC, to: topology.GatewayMAC, source: vmA, destination: to, ttl: 64, protocol: icmpProtocol, payload: e}
}

// pathMTU is the MTU that the namespace has learnt for a destination; 0 for none.
func (l *lot) pathMTU(to netip.Addr) int {
	l.Helper()
	routes, err := l.link.RouteGet(to.AsSlice())
	must(l, err)
	return routes[0].MTU
}

// TestForgedPathMTU lets a VM tell its host that the path to a destination is narrow. The path is that of all VMs.
func TestForgedPathMTU(t *testing.T) {
	own, uplink := hypervisor().Self.IPv4, netip.MustParseAddr("169.254.99.2")
	unheard, eastWest := counts{"ip/unheard": 1}, hypervisor()
	eastWest.NAT = nil
	for _, tt := range []struct {
		name   string
		tenant topology.Tenant
		to     netip.Addr
		about  netip.Addr
	}{
		{"behind the NAT gateway", hypervisor(), own, server},
		{"with a VIP", withVIPs(), own, server},
		// Not an inside address: what the VM sends there is untracked.
		{"with a VIP, to the uplink's address", withVIPsBoth(), uplink, server},
		{"without public addresses", eastWest, own, vmB},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLot(t, tt.tenant)
			if tt.to == uplink {
				device, err := l.link.LinkByName(topology.UplinkDevice)
				must(t, err)
				must(t, l.link.AddrAdd(device, &netlink.Addr{IPNet: &net.IPNet{IP: uplink.AsSlice(), Mask: net.CIDRMask(32, 32)}}))
			}
			l.expect(l.tap, nil, unheard, tooBig(tt.to, tt.to, tt.about))
			if mtu := l.pathMTU(tt.about); mtu != 0 {
				t.Errorf("the host believes that the path to %s has an MTU of %d", tt.about, mtu)
			}
		})
	}
}

// TestForgedPathMTU6 is the same in IPv6, to an address that every host has and to one that VMs with a VIP are not tracked for.
func TestForgedPathMTU6(t *testing.T) {
	own, remote := hypervisor().Self.IPv6, netip.MustParseAddr("2001:db8:ffff::1")
	for name, tenant := range map[string]topology.Tenant{"without public addresses": hypervisor(), "with a VIP": withVIPs()} {
		t.Run(name, func(t *testing.T) {
			l := newLot(t, tenant)
			setSysctls(t, l.ns, "net/ipv6/conf/tap-a/accept_dad=0", "net/ipv6/conf/tap-a/disable_ipv6=0")
			tap, err := l.link.LinkByName("tap-a")
			must(t, err)
			for _, a := range []netip.Addr{own, gateway6} {
				// An address would be ready a moment later.
				must(t, l.link.RouteAdd(&netlink.Route{LinkIndex: tap.Attrs().Index, Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(128, 128)}, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL}))
			}
			for _, to := range []netip.Addr{own, gateway6, allNodes} {
				quoted := frame6(vmMAC, own, remote, unix.IPPROTO_ICMPV6, append([]byte{129, 0, 0, 0, 0, 1, 0, 1}, make([]byte, 8)...))[14:]
				payload := append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, quoted...)
				for _, from := range []netip.Addr{vmA6, ownLocal} {
					if from == ownLocal && to == own {
						continue // link_local
					}
					got := l.counted(l.tap, frame6(vmMAC, from, to, unix.IPPROTO_ICMPV6, payload))
					if got["ip6/unheard"] != 1 {
						t.Errorf("from %s to %s: counted %v", from, to, got)
					}
				}
			}
		})
	}
}

// TestProbeIsAnswered has the host send a datagram to a VM, as a probe of a backend: the VM's error about it is heard.
func TestProbeIsAnswered(t *testing.T) {
	l := newLot(t, hypervisor())
	var fd int
	must(t, l.ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	defer func() { _ = unix.Close(fd) }()
	own := hypervisor().Self.IPv4
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: own.As4(), Port: 5000}))
	must(t, unix.Connect(fd, &unix.SockaddrInet4{Addr: vmA.As4(), Port: 9}))
	_, err := unix.Write(fd, []byte("?"))
	must(t, err)
	l.received()
	e := icmpError(3, 3, frame{source: own, destination: vmA, ttl: 64, protocol: udp, payload: ports(5000, 9)})
	l.expect(l.tap, nil, nil, frame{from: vmMAC, to: topology.GatewayMAC, source: vmA, destination: own, ttl: 64, protocol: icmpProtocol, payload: e})
	if _, err := unix.Read(fd, make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the prober hears %v, want a refusal", err)
	}
}
