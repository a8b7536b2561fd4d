package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Network is the transport of a flow or a server.
type Network string

// The transports.
const (
	TCP Network = "tcp"
	UDP Network = "udp"
)

// Options shape a flow; the zero value leaves everything to the kernel.
type Options struct {
	// Source is the address and port to use; the parts that are zero are the kernel's choice.
	Source netip.AddrPort
	// TTL is the hop limit of every packet, the kernel's default if zero.
	TTL int
	// DontFragment makes UDP fail with an [ICMPError] or EMSGSIZE where a datagram is longer than the path allows.
	DontFragment bool
	// ProbeMTU sends everything whole, however narrow the kernel has learned the path to be.
	ProbeMTU bool
	// Datagram is the payload of UDP datagrams in bytes, 1200 if zero, at least 32.
	Datagram int
}

// Flow is an open flow to a [Server]. One goroutine may use it at a time.
type Flow interface {
	// Exchange moves that many bytes in each direction and checks every one.
	Exchange(ctx context.Context, bytes int) error
	// Seen asks the server for the flow's source as it sees it.
	Seen(ctx context.Context) (netip.AddrPort, error)
	// Local and Remote are the flow's ends as the client sees them.
	Local() netip.AddrPort
	Remote() netip.AddrPort
	// Close ends the flow in an orderly way.
	Close() error
}

// Open opens a flow from the namespace to a server. A TCP flow is connected when Open returns; a UDP flow has sent nothing.
// A connection that fails gives [ErrTimeout], [ErrReset] or an [*ICMPError].
func Open(ctx context.Context, ns *netns.NS, network Network, to netip.AddrPort, opts Options) (Flow, error) {
	kind := unix.SOCK_STREAM
	if network == UDP {
		kind = unix.SOCK_DGRAM
	}
	s, err := newSocket(ns, familyOf(to.Addr()), kind, 0)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, to, opts); err != nil {
		_ = s.Close() // the first error is the one to report
		return nil, fmt.Errorf("open %s to %s: %w", network, to, err)
	}
	if network == UDP {
		return newUDPFlow(s, to, opts), nil
	}
	// From here on an ICMP error is a hint that TCP outlives (RFC 5461), as in any ordinary program.
	if err := errors.Join(s.receiveErrors(to.Addr(), 0), s.setInt(noDelay)); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s to %s: %w", network, to, err), s.Close())
	}
	return &tcpFlow{socket: s, to: to}, nil
}

// noDelay switches Nagle's algorithm off: a request is a small segment that must not wait for an acknowledgement.
var noDelay = [3]int{unix.SOL_TCP, unix.TCP_NODELAY, 1}

func (s *socket) open(ctx context.Context, to netip.AddrPort, opts Options) error {
	if err := s.configure(to.Addr(), opts); err != nil {
		return err
	}
	defer s.limit(ctx)()
	err := s.control(func(fd int) error { return unix.Connect(fd, sockaddr(to)) })
	if err == unix.EINPROGRESS {
		err = s.transmit(connected)
	}
	return s.explain(err)
}

// connected is nil when a connection stands and EAGAIN while it is being made.
func connected(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return syscall.Errno(code)
	}
	if _, err := unix.Getpeername(fd); err != nil {
		return unix.EAGAIN
	}
	return nil
}

func (s *socket) configure(to netip.Addr, opts Options) error {
	if err := s.receiveErrors(to, 1); err != nil {
		return err
	}
	// The values of path MTU discovery are the same in both families.
	level, ttl, discover, always, probe := unix.SOL_IP, unix.IP_TTL, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO, unix.IP_PMTUDISC_PROBE
	if to.Is6() {
		level, ttl, discover = unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_MTU_DISCOVER
	}
	if opts.TTL != 0 {
		if err := s.setInt([3]int{level, ttl, opts.TTL}); err != nil {
			return err
		}
	}
	if opts.ProbeMTU {
		always = probe
	}
	if opts.DontFragment || opts.ProbeMTU {
		if err := s.setInt([3]int{level, discover, always}); err != nil {
			return err
		}
	}
	if opts.Source == (netip.AddrPort{}) {
		return nil
	}
	source := opts.Source
	if !source.Addr().IsValid() {
		source = netip.AddrPortFrom(netip.IPv6Unspecified(), source.Port())
		if to.Is4() {
			source = netip.AddrPortFrom(netip.IPv4Unspecified(), source.Port())
		}
	}
	// A port can be used again at once, and towards several destinations.
	if err := s.setInt([3]int{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}); err != nil {
		return err
	}
	if err := s.control(func(fd int) error { return unix.Bind(fd, sockaddr(source)) }); err != nil {
		return fmt.Errorf("bind to %s: %w", source, err)
	}
	return nil
}
