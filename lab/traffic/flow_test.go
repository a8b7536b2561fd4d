package traffic_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

func TestExchange(t *testing.T) {
	for _, c := range []struct {
		name    string
		network traffic.Network
		addr    string
		opts    traffic.Options
		bytes   int
	}{
		{"tcp", traffic.TCP, "198.51.100.1:0", traffic.Options{}, 8 << 20},
		{"tcp6", traffic.TCP, "[2001:db8:ffff::2]:0", traffic.Options{}, 8 << 20},
		{"tcp source", traffic.TCP, "198.51.100.1:0", traffic.Options{Source: netip.MustParseAddrPort("198.51.100.66:4000")}, 1000},
		{"udp", traffic.UDP, "198.51.100.1:0", traffic.Options{}, 20000},
		{"udp6", traffic.UDP, "[2001:db8:ffff::2]:0", traffic.Options{}, 20000},
		{"udp port", traffic.UDP, "198.51.100.1:0", traffic.Options{Source: netip.AddrPortFrom(netip.Addr{}, 4000)}, 100},
		{"udp fragments", traffic.UDP, "198.51.100.1:0", traffic.Options{Datagram: 8000}, 24000},
		{"udp6 fragments", traffic.UDP, "[2001:db8:ffff::2]:0", traffic.Options{Datagram: 8000}, 24000},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := soon(t)
			server := serve(t, "server", c.network, c.addr)
			flow, err := traffic.Open(ctx, in(t, "far"), c.network, server.Addr(), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer flow.Close()
			for range 2 { // once more later: a flow stays usable
				if err := exchangeLearning(ctx, flow, c.opts, c.bytes); err != nil {
					t.Fatal(err)
				}
			}
			seen, err := flow.Seen(ctx)
			if err != nil || seen != flow.Local() {
				t.Errorf("seen as %s, %v, want %s", seen, err, flow.Local())
			}
			if p := c.opts.Source.Port(); p != 0 && seen.Port() != p {
				t.Errorf("source port %d, want %d", seen.Port(), p)
			}
			clients := server.Clients()
			if len(clients) != 1 || clients[0].Remote != seen || clients[0].Received < int64(2*c.bytes) || !clients[0].Open {
				t.Errorf("server met %+v", clients)
			}
			if flow.Remote() != server.Addr() {
				t.Errorf("remote %s, want %s", flow.Remote(), server.Addr())
			}
		})
	}
}

// exchangeLearning gives long datagrams first tries that may be lost: the server's first answer meets the narrow hop, and the
// server learns the path's MTU from that.
func exchangeLearning(ctx context.Context, flow traffic.Flow, opts traffic.Options, bytes int) error {
	if opts.Datagram > 1300 {
		try := func() error {
			ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			defer cancel()
			return flow.Exchange(ctx, 1)
		}
		err := try()
		for errors.Is(err, traffic.ErrTimeout) && ctx.Err() == nil {
			err = try()
		}
		if err != nil {
			return err
		}
	}
	return flow.Exchange(ctx, bytes)
}

func TestTCPSeesEndOfFlow(t *testing.T) {
	ctx := soon(t)
	server := serve(t, "server", traffic.TCP, "198.51.100.1:0")
	flow, err := traffic.Open(ctx, in(t, "far"), traffic.TCP, server.Addr(), traffic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := flow.Exchange(ctx, 10); err != nil {
		t.Fatal(err)
	}
	if err := flow.Close(); err != nil {
		t.Fatal(err)
	}
	for server.Clients()[0].Open {
		if ctx.Err() != nil {
			t.Fatal("the server never saw the end of the flow")
		}
	}
}

func TestServerGoesAway(t *testing.T) {
	ctx := soon(t)
	server, err := traffic.Serve(in(t, "server"), traffic.TCP, netip.MustParseAddrPort("198.51.100.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	flow, err := traffic.Open(ctx, in(t, "far"), traffic.TCP, server.Addr(), traffic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer flow.Close()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := flow.Exchange(ctx, 1<<20); !errors.Is(err, traffic.ErrReset) {
		t.Errorf("exchange with a dead server: %v, want ErrReset", err)
	}
}

func TestFailuresAreToldApart(t *testing.T) {
	ctx := soon(t)
	far := in(t, "far")
	_, err := traffic.Open(ctx, far, traffic.TCP, netip.MustParseAddrPort("198.51.100.1:9"), traffic.Options{})
	if !errors.Is(err, traffic.ErrReset) {
		t.Errorf("closed TCP port: %v, want ErrReset", err)
	}
	// The router has a route to the server's whole range, and nobody there answers for this address.
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := traffic.Open(short, far, traffic.TCP, netip.MustParseAddrPort("198.51.100.30:80"), traffic.Options{}); !errors.Is(err, traffic.ErrTimeout) {
		t.Errorf("silence: %v, want ErrTimeout", err)
	}
	for _, c := range []struct {
		name       string
		network    traffic.Network
		to         string
		kind, code uint8
	}{
		{"closed UDP port", traffic.UDP, "198.51.100.1:9", 3, 3},
		{"closed UDP port v6", traffic.UDP, "[2001:db8:ffff::1]:9", 1, 4},
		{"TCP to nowhere", traffic.TCP, "203.0.113.1:80", 3, 0},
		{"TCP to nowhere v6", traffic.TCP, "[2001:db8:1::1]:80", 1, 0},
		{"UDP to nowhere", traffic.UDP, "203.0.113.1:80", 3, 0},
	} {
		flow, err := traffic.Open(ctx, far, c.network, netip.MustParseAddrPort(c.to), traffic.Options{})
		if err == nil {
			err = flow.Exchange(ctx, 10)
			flow.Close()
		}
		var icmp *traffic.ICMPError
		if !errors.As(err, &icmp) || icmp.Type != c.kind || icmp.Code != c.code || !icmp.From.IsValid() {
			t.Errorf("%s: %v, want icmp %d/%d", c.name, err, c.kind, c.code)
		}
	}
	server := serve(t, "server", traffic.UDP, "198.51.100.1:0")
	flow, err := traffic.Open(ctx, far, traffic.UDP, server.Addr(), traffic.Options{TTL: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer flow.Close()
	var icmp *traffic.ICMPError
	if err := flow.Exchange(ctx, 10); !errors.As(err, &icmp) || icmp.Type != 11 {
		t.Errorf("two hops only: %v, want icmp 11/0", err)
	}
}

func TestDontFragmentLearnsTheNarrowHop(t *testing.T) {
	ctx := soon(t)
	server := serve(t, "far", traffic.UDP, "198.51.100.68:0")
	flow, err := traffic.Open(ctx, in(t, "server"), traffic.UDP, server.Addr(), traffic.Options{DontFragment: true, Datagram: 1400})
	if err != nil {
		t.Fatal(err)
	}
	defer flow.Close()
	var icmp *traffic.ICMPError
	if err := flow.Exchange(ctx, 1400); !errors.As(err, &icmp) || icmp.Type != 3 || icmp.Code != 4 || icmp.MTU != 1300 {
		t.Errorf("1400 bytes through a hop of 1300: %v, want icmp 3/4 with mtu 1300", err)
	}
	if icmp != nil && icmp.From != netip.MustParseAddr("198.18.0.1") {
		t.Errorf("the error came from %s, want the router 198.18.0.1", icmp.From)
	}
}

// unreachable is how many ICMP errors "destination unreachable" the node has received.
func unreachable(t *testing.T, ns *netns.NS) int {
	t.Helper()
	var text []byte
	err := ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "Icmp:" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		n, err := strconv.Atoi(words[slices.Index(names, "InDestUnreachs")])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	t.Fatal("the kernel counts no ICMP")
	return 0
}

func TestFill(t *testing.T) {
	const patience = 20 * time.Second // for each: only what is lost takes so long
	ctx := soon(t)
	far := in(t, "far")
	for _, network := range []traffic.Network{traffic.TCP, traffic.UDP} {
		server := serve(t, "server", network, "198.51.100.1:0")
		const want = 1500
		filled := traffic.Fill(ctx, far, network, server.Addr(), traffic.Attempt{Flows: want, Patience: patience})
		if len(filled.Flows) != want || len(filled.Other) > 0 {
			t.Errorf("%s: %d flows, %+v", network, len(filled.Flows), filled.Other)
		}
		if got := len(server.Clients()); got != want {
			t.Errorf("%s: server met %d clients, want %d", network, got, want)
		}
		for _, f := range filled.Flows {
			if err := f.Exchange(ctx, 1); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	// How many errors come back is the network's affair: what the client's kernel counts as received is the truth.
	before := unreachable(t, far)
	refused := traffic.Fill(ctx, far, traffic.UDP, netip.MustParseAddrPort("198.51.100.1:9"), traffic.Attempt{Flows: 100, Patience: patience})
	if told := unreachable(t, far) - before; refused.Refused != told || told == 0 || refused.Refused+refused.Timeout != 100 {
		t.Errorf("towards a closed UDP port %d of 100 are told: %+v", told, refused)
	}
	if refused.LastRefusal == nil || refused.LastRefusal.Code != 3 {
		t.Errorf("towards a closed UDP port: %v", refused.LastRefusal)
	}
	reset := traffic.Fill(ctx, far, traffic.TCP, netip.MustParseAddrPort("198.51.100.1:9"), traffic.Attempt{Flows: 10, Patience: patience})
	if reset.Reset != 10 {
		t.Errorf("towards a closed port: %+v", reset)
	}
}
