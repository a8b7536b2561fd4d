package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Trace is a search for the routers of a path, as traceroute(8) makes it, and for its MTU, as tracepath(8) does.
type Trace struct {
	// To is the destination; with a port the probes are UDP datagrams, without one echo requests.
	To netip.AddrPort
	// Source is the source port of UDP probes, the kernel's choice if zero.
	Source uint16
	// Size of a probe is that of its IP packet in bytes, 60 if zero. A probe must not be fragmented: where the path is narrower, it goes on
	// with what fits.
	Size int
	// Hops is how far to go, 16 if zero.
	Hops int
	// Patience is how long to wait for each answer, a second if zero.
	Patience time.Duration
}

// Hop is what one probe has found.
type Hop struct {
	// TTL is the hop limit of the probe, From who answered; the zero value says that nobody did.
	TTL  int
	From netip.Addr
	// MTU is what the answer said in bytes, if it was about the size.
	MTU int
	// Reached is true if the destination has answered.
	Reached bool
}

// String is a line as traceroute prints it: "3 198.18.0.1", "4 198.18.0.1 mtu 1300", "5 198.51.100.1 reached", "6 *".
func (h Hop) String() string {
	from := "*"
	if h.From.IsValid() {
		from = h.From.String()
	}
	text := fmt.Sprintf("%d %s", h.TTL, from)
	if h.MTU != 0 {
		text += fmt.Sprintf(" mtu %d", h.MTU)
	}
	if h.Reached {
		text += " reached"
	}
	return text
}

// headers of IPv4 and of UDP, or of an echo request.
const probeHeaders = 20 + 8

// Run follows the path until the destination answers.
func (t Trace) Run(ctx context.Context, ns *netns.NS) ([]Hop, error) {
	if !t.To.Addr().Is4() {
		return nil, fmt.Errorf("trace %s: want an IPv4 address", t.To)
	}
	t.setDefaults()
	var path []Hop
	for ttl := 1; ttl <= t.Hops; ttl++ {
		hop, err := t.probe(ctx, ns, ttl)
		if err != nil {
			return path, fmt.Errorf("trace %s: %w", t.To, err)
		}
		path = append(path, hop)
		if hop.Reached {
			return path, nil
		}
		if hop.MTU != 0 && hop.MTU < t.Size {
			t.Size = hop.MTU
			ttl-- // the same once more, with what fits
		}
	}
	return path, fmt.Errorf("trace %s: %w within %d hops", t.To, ErrTimeout, t.Hops)
}

func (t *Trace) setDefaults() {
	if t.Size == 0 {
		t.Size = 60
	}
	if t.Hops == 0 {
		t.Hops = 16
	}
	if t.Patience == 0 {
		t.Patience = time.Second
	}
}

func (t *Trace) probe(ctx context.Context, ns *netns.NS, ttl int) (Hop, error) {
	if t.To.Port() == 0 {
		return t.probeEcho(ctx, ns, ttl)
	}
	return t.probePort(ctx, ns, ttl)
}

func (t *Trace) probeEcho(ctx context.Context, ns *netns.NS, ttl int) (Hop, error) {
	r, err := Ping(ctx, ns, Echo{To: t.To.Addr(), TTL: ttl, Size: t.Size - probeHeaders, Patience: t.Patience, ProbeMTU: true})
	switch {
	case err != nil:
		return Hop{}, err
	case r.Received == 1:
		return Hop{TTL: ttl, From: t.To.Addr(), Reached: true}, nil
	case len(r.Errors) > 0:
		return t.hop(ttl, r.Errors[0]), nil
	}
	return Hop{TTL: ttl}, nil
}

// probePort sends a datagram to a port where nobody listens.
func (t *Trace) probePort(ctx context.Context, ns *netns.NS, ttl int) (hop Hop, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Patience)
	defer cancel()
	s, err := newSocket(ns, unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return hop, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	how := Options{TTL: ttl, ProbeMTU: true, Source: netip.AddrPortFrom(netip.Addr{}, t.Source)}
	if err := s.open(ctx, t.To, how); err != nil {
		return hop, err
	}
	defer s.limit(ctx)()
	err = s.transmit(func(fd int) error { return unix.Send(fd, make([]byte, t.Size-probeHeaders), 0) })
	if err == nil {
		err = s.receive(func(fd int) error {
			_, _, err := unix.Recvfrom(fd, make([]byte, 1), 0)
			return err
		})
	}
	if err == nil {
		return Hop{TTL: ttl, From: t.To.Addr(), Reached: true}, nil
	}
	var icmp *ICMPError
	switch err := s.explain(err); {
	case errors.As(err, &icmp):
		return t.hop(ttl, icmp), nil
	case errors.Is(err, ErrTimeout):
		return Hop{TTL: ttl}, nil
	default:
		return hop, err
	}
}

// hop reads an answer. The destination's is that nobody listens on the port.
func (t *Trace) hop(ttl int, e *ICMPError) Hop {
	const unreachable, port = 3, 3
	return Hop{TTL: ttl, From: e.From, MTU: int(e.MTU), Reached: e.Type == unreachable && e.Code == port && e.From == t.To.Addr()}
}
