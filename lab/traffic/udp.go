package traffic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"
)

// defaultDatagram fits every path of a lab in one piece.
const defaultDatagram = 1200

type udpFlow struct {
	*socket
	to   netip.AddrPort
	size int
	// whole forbids fragments.
	whole bool
	next  uint64
}

func newUDPFlow(s *socket, to netip.AddrPort, opts Options) *udpFlow {
	size := opts.Datagram
	if size == 0 {
		size = defaultDatagram
	}
	// A number nobody else uses, so that a late answer to another flow of this port is not taken for ours.
	return &udpFlow{socket: s, to: to, size: max(size, 32), whole: opts.DontFragment, next: rand.Uint64()}
}

func (f *udpFlow) Local() netip.AddrPort  { return f.local() }
func (f *udpFlow) Remote() netip.AddrPort { return f.to }

// Exchange sends datagrams of the flow's size, at least one, and waits for the echo of each before the next. The first that
// is lost ends it.
func (f *udpFlow) Exchange(ctx context.Context, n int) error {
	defer f.limit(ctx)()
	for sent := 0; sent < max(n, 1); sent += f.size {
		if _, err := f.echo(f.size); err != nil {
			return fmt.Errorf("echo %d bytes over udp to %s, %d echoed before: %w", f.size, f.to, sent, err)
		}
	}
	return nil
}

func (f *udpFlow) Seen(ctx context.Context) (netip.AddrPort, error) {
	defer f.limit(ctx)()
	seen, err := f.echo(datagramHeader)
	if err != nil {
		return seen, fmt.Errorf("ask %s for our source: %w", f.to, err)
	}
	return seen, nil
}

// echo sends one datagram and waits for its echo. One that was too long for the path is sent again: the kernel has learned
// from the error and sends it in pieces, unless the flow forbids that.
func (f *udpFlow) echo(size int) (seen netip.AddrPort, err error) {
	f.next++
	out := newDatagram(f.next, size)
	for {
		seen, err = f.tryEcho(out)
		var icmp *ICMPError
		if f.whole || !errors.As(err, &icmp) || icmp.MTU == 0 {
			return seen, err
		}
	}
}

func (f *udpFlow) tryEcho(out []byte) (seen netip.AddrPort, err error) {
	if err := f.transmit(func(fd int) error { return unix.Send(fd, out, 0) }); err != nil {
		return seen, f.explain(err)
	}
	in := make([]byte, 1<<16)
	for {
		var n int
		err := f.receive(func(fd int) (err error) {
			n, _, err = unix.Recvfrom(fd, in, 0)
			return err
		})
		if err != nil {
			return seen, f.explain(err)
		}
		number, seen, err := checkDatagram(in[:n], len(out))
		if number != f.next || errors.Is(err, errForeign) {
			continue // late, or somebody else's
		}
		return seen, err
	}
}
