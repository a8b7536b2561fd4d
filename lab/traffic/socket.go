package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// firstDescriptor is where sockets go. google/nftables cannot use descriptors from 1024 up, and a process that fills a port
// block has more flows than that.
const firstDescriptor = 2048

// socket is a non-blocking socket that waits in the runtime's poller.
type socket struct {
	*os.File
	raw syscall.RawConn
}

// newSocket makes a socket in the namespace; it stays there wherever it is used.
func newSocket(ns *netns.NS, family, kind, protocol int) (*socket, error) {
	fd := -1
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open socket in %s: %w", ns.Name(), err)
	}
	return adopt(fd)
}

// adopt takes over a non-blocking descriptor.
func adopt(fd int) (*socket, error) {
	if high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstDescriptor); err == nil {
		if err := unix.Close(fd); err != nil {
			return nil, errors.Join(fmt.Errorf("move socket: %w", err), unix.Close(high))
		}
		fd = high
	}
	file := os.NewFile(uintptr(fd), "socket")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("adopt socket: %w", err), file.Close())
	}
	return &socket{File: file, raw: raw}, nil
}

// control runs f on the descriptor.
func (s *socket) control(f func(fd int) error) error {
	var inner error
	if err := s.raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return closed(err)
	}
	return inner
}

// receive runs f whenever the socket is readable until it returns something else than EAGAIN.
func (s *socket) receive(f func(fd int) error) error {
	return poll(s.raw.Read, f)
}

// transmit runs f whenever the socket is writable until it returns something else than EAGAIN.
func (s *socket) transmit(f func(fd int) error) error {
	return poll(s.raw.Write, f)
}

func poll(wait func(func(uintptr) bool) error, f func(fd int) error) error {
	var inner error
	err := wait(func(fd uintptr) bool {
		inner = f(int(fd))
		for errors.Is(inner, unix.EINTR) {
			inner = f(int(fd))
		}
		return !errors.Is(inner, unix.EAGAIN)
	})
	if err != nil {
		return closed(err)
	}
	return inner
}

// closed makes the runtime's own error about a closed descriptor, which it does not export, [os.ErrClosed].
func closed(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", os.ErrClosed, err)
}

// limit ends the socket's waits when the context ends. The function it returns takes the limit off again.
func (s *socket) limit(ctx context.Context) (unlimit func()) {
	deadline, _ := ctx.Deadline()
	_ = s.SetDeadline(deadline) // fails on a closed socket alone, which the next call reports
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = s.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-ended // or it would end the next wait
		}
		_ = s.SetDeadline(time.Time{})
	}
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// local is the address the socket is bound to.
func (s *socket) local() netip.AddrPort {
	var a netip.AddrPort
	_ = s.control(func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if err == nil {
			a = addrPort(sa)
		}
		return err
	})
	return a
}

// setInt sets socket options given as level, name, value.
func (s *socket) setInt(options ...[3]int) error {
	return s.control(func(fd int) error {
		for _, o := range options {
			if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
				return fmt.Errorf("set socket option %d/%d to %d: %w", o[0], o[1], o[2], err)
			}
		}
		return nil
	})
}

// receiveErrors asks for the ICMP errors that concern the socket (ip(7), IP_RECVERR), with on 0 no longer.
func (s *socket) receiveErrors(a netip.Addr, on int) error {
	if a.Is4() {
		return s.setInt([3]int{unix.SOL_IP, unix.IP_RECVERR, on})
	}
	return s.setInt([3]int{unix.SOL_IPV6, unix.IPV6_RECVERR, on})
}
