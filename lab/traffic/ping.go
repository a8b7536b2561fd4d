package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/netns"
)

// Echo is a series of ICMP echo requests.
type Echo struct {
	To netip.Addr
	// Source is the address to use; the kernel's choice if not valid.
	Source netip.Addr
	// Count is how many to send, 1 if zero. Each waits for its reply before the next.
	Count int
	// Size is the payload in bytes.
	Size int
	// ID is the echo id, a random one if zero.
	ID uint16
	// TTL is the hop limit, the kernel's default if zero.
	TTL int
	// ProbeMTU sends requests that the kernel has learned to be too long.
	ProbeMTU bool
	// Patience is how long to wait for each reply, a second if zero.
	Patience time.Duration
}

// EchoResult is what came of an [Echo].
type EchoResult struct {
	ID             uint16
	Sent, Received int
	// Errors are the ICMP errors that quote one of the requests.
	Errors []*ICMPError
	// TooLong counts requests that were not sent because the kernel knew the path to be narrower, from an earlier error.
	TooLong int
}

// Ping sends echo requests from the namespace. A lost request is no error: it is missing in the result.
func Ping(ctx context.Context, ns *netns.NS, e Echo) (EchoResult, error) {
	e.setDefaults()
	result := EchoResult{ID: e.ID}
	protocol := unix.IPPROTO_ICMP
	if e.To.Is6() {
		protocol = unix.IPPROTO_ICMPV6
	}
	s, err := newSocket(ns, familyOf(e.To), unix.SOCK_RAW, protocol)
	if err != nil {
		return result, err
	}
	defer func() { _ = s.Close() }()
	source := netip.AddrPort{}
	if e.Source.IsValid() {
		source = netip.AddrPortFrom(e.Source, 0)
	}
	if err := s.configure(e.To, Options{Source: source, TTL: e.TTL, DontFragment: true, ProbeMTU: e.ProbeMTU}); err != nil {
		return result, fmt.Errorf("ping %s: %w", e.To, err)
	}
	// Connected, so that errors about other destinations do not end up here.
	if err := s.control(func(fd int) error { return unix.Connect(fd, sockaddr(netip.AddrPortFrom(e.To, 0))) }); err != nil {
		return result, fmt.Errorf("ping %s: %w", e.To, err)
	}
	for n := range e.Count {
		if err := e.one(ctx, s, uint16(n), &result); err != nil {
			return result, fmt.Errorf("ping %s: %w", e.To, err)
		}
	}
	return result, nil
}

func (e *Echo) setDefaults() {
	if e.Count == 0 {
		e.Count = 1
	}
	if e.ID == 0 {
		e.ID = uint16(1 + rand.IntN(65535))
	}
	if e.Patience == 0 {
		e.Patience = time.Second
	}
}

// one sends a request and waits for what comes of it.
func (e *Echo) one(ctx context.Context, s *socket, number uint16, result *EchoResult) error {
	message := e.request(number)
	result.Sent++
	err := s.transmit(func(fd int) error { return unix.Send(fd, message, 0) })
	switch {
	case errors.Is(err, unix.EMSGSIZE):
		_ = s.queuedError() // the kernel's own note about it
		result.TooLong++
		return nil
	case err != nil && s.queuedInto(result):
		return nil
	case err != nil:
		return err
	}
	// Patience is with the answer: a machine that stalls before it sends has lost nothing.
	ctx, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	defer s.limit(ctx)()
	return e.await(s, number, result)
}

func (e *Echo) request(number uint16) []byte {
	b := make([]byte, 8+e.Size)
	b[0] = packet.EchoRequest4
	if e.To.Is6() {
		b[0] = packet.EchoRequest6 // the kernel writes ICMPv6 checksums (RFC 3542 section 3.1)
	}
	binary.BigEndian.PutUint16(b[4:], e.ID)
	binary.BigEndian.PutUint16(b[6:], number)
	for i := range b[8:] {
		b[8+i] = byte(i)
	}
	if e.To.Is4() {
		binary.BigEndian.PutUint16(b[2:], packet.Checksum(b))
	}
	return b
}

// await reads until the reply, an error about the request, or the deadline.
func (e *Echo) await(s *socket, number uint16, result *EchoResult) error {
	b := make([]byte, 1<<16)
	for {
		var n int
		err := s.receive(func(fd int) (err error) {
			n, _, err = unix.Recvfrom(fd, b, 0)
			return err
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil && s.queuedInto(result):
			return nil
		case err != nil:
			return err
		}
		if e.isReply(b[:n], number) {
			result.Received++
			return nil
		}
	}
}

// isReply reports whether b answers the request. IPv4 raw sockets deliver the IP header as well, IPv6 ones do not.
func (e *Echo) isReply(b []byte, number uint16) bool {
	kind := byte(packet.EchoReply6)
	if e.To.Is4() {
		kind = packet.EchoReply4
		if len(b) < 20 || len(b) < int(b[0]&0xf)*4 {
			return false
		}
		b = b[int(b[0]&0xf)*4:]
	}
	return len(b) == 8+e.Size && b[0] == kind && binary.BigEndian.Uint16(b[4:]) == e.ID && binary.BigEndian.Uint16(b[6:]) == number
}

// queuedInto moves the socket's queued ICMP error into the result and reports whether there was one.
func (s *socket) queuedInto(result *EchoResult) bool {
	icmp := s.queuedError()
	if icmp != nil {
		result.Errors = append(result.Errors, icmp)
	}
	return icmp != nil
}
