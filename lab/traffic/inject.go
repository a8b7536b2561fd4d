package traffic

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/netns"
)

// Inject sends crafted packets from the namespace, each as it is described, whatever its source address. The kernel chooses
// the route, and with it the device, by the destination.
func Inject(ns *netns.NS, specs ...packet.Spec) (err error) {
	for _, s := range specs {
		raw, err := packet.Build(s)
		if err != nil {
			return err
		}
		if err := InjectRaw(ns, s.Destination.Addr(), raw); err != nil {
			return err
		}
	}
	return nil
}

// InjectRaw sends the bytes of a packet, from the IP header on, towards a destination.
func InjectRaw(ns *netns.NS, to netip.Addr, raw []byte) (err error) {
	s, err := newSocket(ns, familyOf(to), unix.SOCK_RAW, unix.IPPROTO_RAW) // the header is ours: raw(7)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	err = s.transmit(func(fd int) error { return unix.Sendto(fd, raw, 0, sockaddr(netip.AddrPortFrom(to, 0))) })
	if err != nil {
		return fmt.Errorf("inject into %s towards %s: %w", ns.Name(), to, err)
	}
	return nil
}
