package demo

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/packet"
	users "github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/portmap"
)

//go:embed balancer.yaml
var balancerYAML []byte

// The second story's numbers.
const (
	// crowd is how many downloads begin at a time; up to most if a backend has none yet: chance may take that many (one in ten
	// million times it takes more).
	crowd, most = 12, 60
	// headway is how many bytes every download must get on after each change.
	headway = 10 * pieceSize
	// standstill is how long a download may receive nothing.
	standstill = 90 * time.Second
	// greeting is how long the beginning of a download may take.
	greeting    = 20 * time.Second
	backendPort = 8443
)

var site = netip.AddrPortFrom(public, 443)

// balance is the second story on its stage.
type balance struct {
	*stage
	full        *config.Fleet
	certificate tls.Certificate
	trust       *x509.CertPool
	finish      chan struct{}
	websites    []*website
	visitors    []*visitor
}

// playBalancer lets downloads run from two VMs while nodes and backends come and go.
func playBalancer(ctx context.Context, out io.Writer, tools Tools, labName string) (err error) {
	full, err := config.Parse("the demo's second fleet", balancerYAML)
	if err != nil {
		return err
	}
	s, err := newStage(ctx, out, tools, labName, scaled(full, 1, 2))
	if err != nil {
		return err
	}
	b := &balance{stage: s, full: full, finish: make(chan struct{})}
	defer func() { err = errors.Join(err, b.close()) }()
	if b.certificate, b.trust, err = users.Certificate(public); err != nil {
		return err
	}
	return b.play(ctx)
}

func (b *balance) close() error {
	var errs []error
	for _, w := range b.websites {
		errs = append(errs, w.close())
	}
	return errors.Join(append(errs, b.stage.close())...)
}

// scaled is the fleet with so many nodes and backends.
func scaled(full *config.Fleet, nodes, backends int) *config.Fleet {
	fleet := *full
	fleet.Hosts = slices.DeleteFunc(slices.Clone(full.Hosts), func(h config.Host) bool {
		nodes--
		if !h.Has(config.LoadBalancer) {
			nodes++
		}
		return h.Has(config.LoadBalancer) && nodes < 0
	})
	fleet.Tenants = slices.Clone(full.Tenants)
	balancers := slices.Clone(full.Tenants[0].LoadBalancers)
	balancers[0].Backends = balancers[0].Backends[:backends]
	fleet.Tenants[0].LoadBalancers = balancers
	return &fleet
}

func (b *balance) play(ctx context.Context) error {
	b.say("\n=== Two VMs behind %s ===\n", site)
	b.say("VM A (%s) and VM B (%s) serve HTTPS on port %d. Clients outside know %s alone.", b.private("vm-a"), b.private("vm-b"), backendPort, site)
	if err := b.serve(); err != nil {
		return err
	}
	uplink, err := b.ns("edge1")
	if err != nil {
		return err
	}
	leaks, err := packet.ParseFilter("out ip4 !src=" + public.String())
	if err != nil {
		return err
	}
	capture, err := users.StartCapture(uplink, "eth1", leaks)
	if err != nil {
		return err
	}
	if err := errors.Join(b.scale(ctx), capture.Stop()); err != nil {
		return err
	}
	if n := capture.Count(packet.Filter{}); n != 0 {
		return fmt.Errorf("%d packets left the edge with another source than %s, the first: %s", n, public, capture.Packets()[0])
	}
	b.say("\nAll verified: every byte of every download, the clients' addresses as the VMs saw them, and a capture on the edge's uplink.")
	return nil
}

// scale tells the story: more nodes, more backends, fewer of both, and nobody notices.
func (b *balance) scale(ctx context.Context) error {
	for i, act := range []struct {
		title           string
		nodes, backends int
	}{
		{"One load balancer, two backends", 1, 2},
		{"Three load balancers", 3, 2},
		{"Four backends", 3, 4},
		{"Back to one load balancer", 1, 4},
	} {
		b.say("\n--- %s ---\n", act.title)
		if i > 0 {
			if err := b.change(ctx, scaled(b.full, act.nodes, act.backends)); err != nil {
				return err
			}
		}
		if err := b.scene(ctx, act.nodes); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(act.title), err)
		}
	}
	close(b.finish)
	return b.farewell(ctx)
}

// serve begins the websites, also of those VMs that become backends later.
func (b *balance) serve() error {
	for _, nic := range b.full.Tenants[0].Interfaces {
		ns, err := b.ns(tenant + "/" + nic.Name)
		if err != nil {
			return err
		}
		w, err := open(ns, nic.Name, netip.AddrPortFrom(nic.Addresses[0], backendPort), b.certificate, b.finish)
		if err != nil {
			return err
		}
		b.websites = append(b.websites, w)
	}
	return nil
}

func (b *balance) private(vm string) netip.Addr {
	for _, nic := range b.full.Tenants[0].Interfaces {
		if nic.Name == vm {
			return nic.Addresses[0]
		}
	}
	return netip.Addr{}
}

// change goes on to another fleet on all hosts.
func (b *balance) change(ctx context.Context, fleet *config.Fleet) error {
	lock, err := portmap.Allocate(b.lock, fleet)
	if err != nil {
		return err
	}
	b.fleet, b.lock = fleet, lock
	return errors.Join(b.Rewire(fleet), b.Apply(ctx, fleet, lock))
}

// welcome begins downloads from all addresses of the two nodes outside.
func (b *balance) welcome(ctx context.Context) error {
	for i := 0; i < crowd || i < most && b.idle() != ""; i++ {
		node, addresses := lab.Server, lab.ServerAddresses()
		if i%2 == 1 {
			node, addresses = lab.Far, lab.FarAddresses()
		}
		ns, err := b.ns(node)
		if err != nil {
			return err
		}
		v, err := visit(ctx, ns, addresses[i/2%4], site, b.trust)
		if err != nil {
			return err
		}
		b.visitors = append(b.visitors, v)
	}
	return nil
}

// idle is a backend that serves nobody, if there is one.
func (b *balance) idle() string {
	for _, backend := range b.fleet.Tenants[0].LoadBalancers[0].Backends {
		if !slices.ContainsFunc(b.visitors, func(v *visitor) bool { return v.vm == backend.Interface }) {
			return backend.Interface
		}
	}
	return ""
}

// progress waits until every download, however old, has got on. On a slow machine all of them are slow; one that stands still has
// received nothing for a long time.
func (b *balance) progress(ctx context.Context) error {
	tick := time.NewTicker(pieceTime)
	defer tick.Stop()
	goals := make([]int64, len(b.visitors))
	for i, v := range b.visitors {
		goals[i] = v.received.Load() + headway
	}
	for i, v := range b.visitors {
		last, since := v.received.Load(), time.Now()
		for v.received.Load() < goals[i] {
			select {
			case err := <-v.done:
				return cmp.Or(err, fmt.Errorf("download of %s from %s ended early", v.from, v.vm))
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
			if n := v.received.Load(); n != last {
				last, since = n, time.Now()
			} else if time.Since(since) > standstill {
				return fmt.Errorf("download of %s from %s stands still after %d bytes", v.from, v.vm, n)
			}
		}
	}
	return nil
}

// farewell waits for the end of all downloads.
func (b *balance) farewell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, standstill)
	defer cancel()
	var all int64
	for _, v := range b.visitors {
		select {
		case err := <-v.done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("download of %s from %s does not end", v.from, v.vm)
		}
		all += v.received.Load()
	}
	b.say("\n%d downloads, %d KiB, none dropped, none with a byte wrong.", len(b.visitors), all>>10)
	return nil
}

// scene lets more clients come, sees all of them get on, and says who served whom.
func (b *balance) scene(ctx context.Context, nodes int) error {
	watches := make(map[string]*users.Capture)
	for i := range nodes {
		name := fmt.Sprintf("lb%d", i+1)
		ns, err := b.ns(name + "/" + tenant)
		if err != nil {
			return err
		}
		if watches[name], err = users.StartCapture(ns, "vx100", packet.Filter{}); err != nil {
			return err
		}
	}
	err := b.welcome(ctx)
	if err == nil {
		err = b.progress(ctx)
	}
	for _, w := range watches {
		err = errors.Join(err, w.Stop())
	}
	if err != nil {
		return err
	}
	if err := b.tellClients(); err != nil {
		return err
	}
	return b.tellNodes(watches)
}

// tellClients prints who serves whom.
func (b *balance) tellClients() error {
	clients := make(map[string][]*visitor)
	for _, v := range b.visitors {
		clients[v.vm] = append(clients[v.vm], v)
	}
	for _, vm := range slices.Sorted(maps.Keys(clients)) {
		newest := clients[vm][len(clients[vm])-1]
		b.say("  %s (%s) serves %2d downloads, the newest for %s", vm, b.private(vm), len(clients[vm]), newest.from)
	}
	if vm := b.idle(); vm != "" {
		return fmt.Errorf("%s serves none of %d downloads", vm, len(b.visitors))
	}
	return nil
}

// tellNodes prints what the nodes have passed on, which must be the clients' packets alone.
func (b *balance) tellNodes(watches map[string]*users.Capture) error {
	requests, err := packet.ParseFilter(fmt.Sprintf("out tcp dst=%s dport=%d", site.Addr(), site.Port()))
	if err != nil {
		return err
	}
	answers, err := packet.ParseFilter(fmt.Sprintf("tcp src=%s sport=%d", site.Addr(), site.Port()))
	if err != nil {
		return err
	}
	all := 0
	for _, node := range slices.Sorted(maps.Keys(watches)) {
		n := watches[node].Count(requests)
		if seen := watches[node].Count(answers); seen != 0 {
			return fmt.Errorf("%s saw %d answers; they go straight to the edge", node, seen)
		}
		b.say("  %s passed %d packets of clients on, and saw none of the answers", node, n)
		all += n
	}
	if all == 0 {
		return errors.New("no node has passed a packet on")
	}
	return nil
}
