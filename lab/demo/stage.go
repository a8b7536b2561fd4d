package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Tools is what the story needs from rooms that a lab does not know.
type Tools struct {
	// Converge is the hosts' agent.
	Converge lab.Converge
	// Counters reads the packets that the named counters of a namespace have counted, by table family and name.
	Counters func(ns *netns.NS) (map[string]uint64, error)
	// CanBalance says what the kernel lacks for load balancing, nil if nothing.
	CanBalance func() error
}

// stage is the lab with the fleet of the story.
type stage struct {
	*lab.Lab
	tools Tools
	fleet *config.Fleet
	lock  *portmap.Lock
	out   io.Writer
	open  map[string]*netns.NS
}

func newStage(ctx context.Context, out io.Writer, tools Tools, labName string, fleet *config.Fleet) (*stage, error) {
	// What a story that was killed left behind.
	if err := lab.Down(labName); err != nil {
		return nil, err
	}
	lock, err := portmap.Allocate(nil, fleet)
	if err != nil {
		return nil, err
	}
	l, err := lab.Up(fleet, lab.Options{Name: labName, Converge: tools.Converge})
	if err != nil {
		return nil, err
	}
	s := &stage{Lab: l, tools: tools, fleet: fleet, lock: lock, out: out, open: make(map[string]*netns.NS)}
	if err := l.Apply(ctx, fleet, lock); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) close() error {
	var errs []error
	for _, ns := range s.open {
		errs = append(errs, ns.Close())
	}
	return errors.Join(append(errs, s.Down())...)
}

// ns opens a node's namespace once.
func (s *stage) ns(node string) (*netns.NS, error) {
	if ns := s.open[node]; ns != nil {
		return ns, nil
	}
	ns, err := s.Open(node)
	if err == nil {
		s.open[node] = ns
	}
	return ns, err
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// block is the host's block of the public address.
func (s *stage) block(host string) (portmap.Block, error) {
	claim, ok := s.lock.Tenants[tenant].Claim(portmap.Claimant{Host: host})
	if !ok || len(claim.Blocks) != 1 {
		return portmap.Block{}, fmt.Errorf("host %s has the blocks %v, want one", host, claim.Blocks)
	}
	return claim.Blocks[0], nil
}

// pin makes the edge send everything for the public address to one host, with an ordinary route.
func (s *stage) pin(host string) error {
	ns, err := s.ns("edge1/" + tenant)
	if err != nil {
		return err
	}
	h, err := netlink.NewHandleAt(vnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	vx, err := h.LinkByName("vx100")
	if err != nil {
		return err
	}
	dst := netlink.NewIPNet(public.AsSlice())
	via := topology.OverlayIPv4(s.fleet.Overlay, s.lock.Hosts[host])
	return h.RouteReplace(&netlink.Route{Dst: dst, LinkIndex: vx.Attrs().Index, Gw: via.AsSlice(), Flags: int(netlink.FLAG_ONLINK)})
}

// counter reads a named counter of the tenant's namespace on a host.
func (s *stage) counter(host, name string) (uint64, error) {
	ns, err := s.ns(host + "/" + tenant)
	if err != nil {
		return 0, err
	}
	all, err := s.tools.Counters(ns)
	return all[name], err
}

// conntrack reads how many entries the tenant's namespace on a host has.
func (s *stage) conntrack(host string) (int, error) {
	ns, err := s.ns(host + "/" + tenant)
	if err != nil {
		return 0, err
	}
	var n int
	err = ns.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		if err != nil {
			return err
		}
		n, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err
	})
	return n, err
}

// traffic is what a device has received and sent, in packets.
type traffic struct{ received, sent uint64 }

func (t traffic) since(before traffic) traffic {
	return traffic{t.received - before.received, t.sent - before.sent}
}

// device reads a device's counters, from proc_net_dev(5).
func (s *stage) device(node, device string) (traffic, error) {
	ns, err := s.ns(node)
	if err != nil {
		return traffic{}, err
	}
	var t traffic
	err = ns.Do(func() error {
		f, err := os.Open("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			name, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
			fields := strings.Fields(rest)
			if name != device || len(fields) < 10 {
				continue
			}
			var errs [2]error
			t.received, errs[0] = strconv.ParseUint(fields[1], 10, 64)
			t.sent, errs[1] = strconv.ParseUint(fields[9], 10, 64)
			return errors.Join(errs[:]...)
		}
		return fmt.Errorf("%s has no device %s", node, device)
	})
	return t, err
}

// The story's names.
const tenant = "acme"

var (
	public  = netip.MustParseAddr("45.86.152.23")
	private = netip.MustParseAddr("10.0.0.47")
)
