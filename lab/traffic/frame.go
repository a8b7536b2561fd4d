package traffic

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// InjectFrames sends the bytes of frames, from the Ethernet header on, out of a device of the namespace, one right after the other.
func InjectFrames(ns *netns.NS, device string, frames ...[]byte) (err error) {
	s, err := newSocket(ns, unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var link *net.Interface
	if err := ns.Do(func() (err error) { link, err = net.InterfaceByName(device); return err }); err != nil {
		return fmt.Errorf("find %s in %s: %w", device, ns.Name(), err)
	}
	for _, frame := range frames {
		err := s.transmit(func(fd int) error { return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}) })
		if err != nil {
			return fmt.Errorf("inject a frame into %s of %s: %w", device, ns.Name(), err)
		}
	}
	return nil
}
