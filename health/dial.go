package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// dial connects from the namespace. Only the socket is made there, so no thread is kept while the connection comes about.
// Reads and writes end with the context.
func dial(ctx context.Context, ns *netns.NS, kind int, target Target) (net.Conn, error) {
	file, err := socket(ns, kind, 0, target)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // FileConn has a descriptor of its own
	if err := connect(ctx, file, target.endpoint()); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Close resets the connection. Otherwise TIME_WAIT and connection tracking would remember it for minutes: at one
		// probe a second for each of a thousand backends that is a hundred thousand entries.
		err = tcp.SetLinger(0)
	}
	if err := errors.Join(err, bound(ctx, conn)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// bound ends reads and writes with the context, which must not last longer than the probe.
func bound(ctx context.Context, conn interface{ SetDeadline(time.Time) error }) error {
	deadline, _ := ctx.Deadline()
	err := conn.SetDeadline(deadline)
	context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // fails on what is closed, which is as good
	return err
}

// socket makes a non-blocking socket in the namespace for the address's family. It has the target's source, with a port that is chosen
// when it connects: so many connections can be there as there are ports for one target, not for all.
func socket(ns *netns.NS, kind, protocol int, target Target) (*os.File, error) {
	family := unix.AF_INET6
	if target.Address.Is4() {
		family = unix.AF_INET
	}
	fd := -1
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: open a socket in %s: %w", ErrUnable, ns.Name(), err)
	}
	file := os.NewFile(uintptr(fd), "probe")
	if target.Source.IsValid() {
		if kind == unix.SOCK_STREAM {
			err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		}
		if err == nil {
			err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(target.Source, 0)))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w: take the source %s in %s: %w", ErrUnable, target.Source, ns.Name(), err), file.Close())
		}
	}
	return file, nil
}

func connect(ctx context.Context, file *os.File, to netip.AddrPort) error {
	if err := bound(ctx, file); err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	begun := false
	var result error
	err = raw.Write(func(fd uintptr) bool {
		if !begun {
			begun = true
			result = unix.Connect(int(fd), sockaddr(to))
			return !errors.Is(result, unix.EINPROGRESS)
		}
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		result = err
		if err == nil && errno != 0 {
			result = unix.Errno(errno)
		}
		return true
	})
	return errors.Join(err, result)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
