package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/packet"
	users "github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

//go:embed fleet.yaml
var fleetYAML []byte

// Play plays both stories, each in a lab that it builds and takes down. It returns an error for the first thing that is not as
// told. On a kernel that cannot balance it plays the first alone and says why.
func Play(ctx context.Context, out io.Writer, tools Tools) error {
	return play(ctx, out, tools, "demo")
}

func play(ctx context.Context, out io.Writer, tools Tools, labName string) error {
	if err := playGateway(ctx, out, tools, labName); err != nil {
		return err
	}
	if err := tools.CanBalance(); err != nil {
		fmt.Fprintf(out, "\nThe load balancer's story is left out: %v. `make demo` plays it in an emulated machine.\n", err)
		return nil
	}
	return playBalancer(ctx, out, tools, labName)
}

// playGateway plays the NAT gateway's story.
func playGateway(ctx context.Context, out io.Writer, tools Tools, labName string) (err error) {
	fleet, err := config.Parse("the demo's fleet", fleetYAML)
	if err != nil {
		return err
	}
	s, err := newStage(ctx, out, tools, labName, fleet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.introduce(); err != nil {
		return err
	}
	// The edge's choice is what a router's is: anything. First it is wrong for all of VM B's replies, then wrong in
	// another way, then right by chance.
	for _, host := range []string{"hv1", "hv3", "hv2"} {
		if err := s.act(ctx, host); err != nil {
			return fmt.Errorf("replies sent to %s: %w", host, err)
		}
	}
	s.say("\nEverything above was verified: bytes, source addresses, kernel counters and a capture on the edge's uplink.")
	return nil
}

func (s *stage) introduce() error {
	s.say("One tenant, one public address (%s), three hypervisors, each with a block of its ports:\n", public)
	for _, h := range []string{"hv1", "hv2", "hv3"} {
		b, err := s.block(h)
		if err != nil {
			return err
		}
		s.say("  %-5s %s", h, b.Ports())
	}
	s.say("\nVM B (%s) runs on hv2. The server outside is %s.", private, server.Addr())
	return nil
}

var server = netip.MustParseAddrPort("198.51.100.1:443")

const (
	tcpBytes, udpBytes = 8 << 20, 256 << 10
	pings              = 5
)

// act lets VM B talk to the server while the edge sends all replies to one host.
func (s *stage) act(ctx context.Context, landing string) error {
	if err := s.pin(landing); err != nil {
		return err
	}
	s.say("\n--- The edge sends every reply to %s ---\n", landing)
	before, err := s.look()
	if err != nil {
		return err
	}
	uplink, err := s.ns("edge1")
	if err != nil {
		return err
	}
	// Nothing but the public address may be seen outside.
	leaks, err := packet.ParseFilter("out ip4 !src=" + public.String())
	if err != nil {
		return err
	}
	capture, err := users.StartCapture(uplink, "eth1", leaks)
	if err != nil {
		return err
	}
	talk := s.talk(ctx)
	if err := errors.Join(talk, capture.Stop()); err != nil {
		return err
	}
	if n := capture.Count(packet.Filter{}); n != 0 {
		return fmt.Errorf("%d packets left the edge with another source than %s, the first: %s", n, public, capture.Packets()[0])
	}
	after, err := s.look()
	if err != nil {
		return err
	}
	return s.hops(landing, before, after)
}

// talk opens a flow of each kind and checks every byte and every source.
func (s *stage) talk(ctx context.Context) error {
	vm, err := s.ns(tenant + "/vm-b")
	if err != nil {
		return err
	}
	outside, err := s.ns(lab.Server)
	if err != nil {
		return err
	}
	for _, n := range []struct {
		network users.Network
		bytes   int
	}{{users.TCP, tcpBytes}, {users.UDP, udpBytes}} {
		if err := s.converse(ctx, func() (*users.Server, error) { return users.Serve(outside, n.network, server) },
			func() (users.Flow, error) { return users.Open(ctx, vm, n.network, server, users.Options{}) }, n.network, n.bytes); err != nil {
			return fmt.Errorf("%s: %w", n.network, err)
		}
	}
	return s.ping(ctx, vm, outside)
}

// ping sends echo requests and looks at the source and the identifier that they arrive with.
func (s *stage) ping(ctx context.Context, vm, outside *netns.NS) error {
	requests, err := packet.ParseFilter("in icmp type=8")
	if err != nil {
		return err
	}
	capture, err := users.StartCapture(outside, "any", requests)
	if err != nil {
		return err
	}
	echo, err := users.Ping(ctx, vm, users.Echo{To: server.Addr(), Count: pings})
	if err := errors.Join(err, capture.Stop()); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if echo.Received != pings {
		return fmt.Errorf("ping: %d of %d replies", echo.Received, pings)
	}
	block, err := s.block("hv2")
	if err != nil {
		return err
	}
	seen := capture.Packets()
	if len(seen) != pings {
		return fmt.Errorf("ping: the server received %d echo requests, want %d", len(seen), pings)
	}
	for _, p := range seen {
		if !block.Contains(p.Source, p.ID) {
			return fmt.Errorf("ping: the server saw %s with id %d, which is not in hv2's block %s", p.Source, p.ID, block)
		}
	}
	s.say("  ping: %s id %d left as %s id %d (hv2's block), %d of %d replies", private, echo.ID, seen[0].Source, seen[0].ID, echo.Received, pings)
	return nil
}

func (s *stage) converse(ctx context.Context, serve func() (*users.Server, error), open func() (users.Flow, error), network users.Network, bytes int) (err error) {
	srv, err := serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	flow, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flow.Close()) }()
	if err := flow.Exchange(ctx, bytes); err != nil {
		return err
	}
	seen, err := flow.Seen(ctx)
	if err != nil {
		return err
	}
	block, err := s.block("hv2")
	if err != nil {
		return err
	}
	if !block.Contains(seen.Addr(), seen.Port()) {
		return fmt.Errorf("the server saw %s, which is not in hv2's block %s", seen, block)
	}
	s.say("  %s:  %s left as %s (hv2's block), %d KiB each way, every byte checked", network, flow.Local(), seen, bytes>>10)
	return nil
}
