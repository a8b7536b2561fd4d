package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Site is one host of a lab, as its agent needs to know it.
type Site struct {
	// Host is the host's name in the fleet.
	Host string
	// NS is the host's own namespace; it is closed when Converge returns.
	NS *netns.NS
	// Prefix goes before the name of every namespace that the agent makes ("lab-hv1-", so "lab-hv1-culvert-acme").
	Prefix string
	Fleet  *config.Fleet
	Lock   *portmap.Lock
	// Sick tells whether a host says of a backend that it runs that it fails its health check; nil is none.
	Sick func(host string, id topology.BackendID) bool
}

// Topology is what the host must hold.
func (s Site) Topology() (topology.Host, error) {
	host, err := topology.For(s.Fleet, s.Lock, s.Host)
	if s.Sick != nil {
		for i := range host.Tenants {
			host.Tenants[i] = host.Tenants[i].Judge(s.Sick)
		}
	}
	return host, err
}

// Converge makes one host hold what the fleet and the lock say, once. It stands for the host's agent, so that this package
// needs to know none. It is called from several goroutines for different hosts.
type Converge func(ctx context.Context, site Site) error

// parallel is how many hosts converge at once that need not.
const parallel = 2

// Apply converges hosts to the fleet and the lock: those named, or all that are up. The others keep what they have.
// Hypervisors come first, then all nodes at once, as those of a load balancer have to change together,
// then edges, which lead traffic there.
// It returns when the VMs' NICs that the agents brought up take packets. The hardware must be that of the fleet ([Lab.Rewire]). A
// host's failure does not keep the others from converging.
func (l *Lab) Apply(ctx context.Context, fleet *config.Fleet, lock *portmap.Lock, hosts ...string) error {
	if l.opts.Converge == nil {
		return errors.New("lab has no agent: Options.Converge is not set")
	}
	if len(hosts) == 0 {
		for _, h := range fleet.Hosts {
			if h.State != config.Down {
				hosts = append(hosts, h.Name)
			}
		}
	}
	hypervisors, nodes, edges := turns(fleet, hosts)
	errs := []error{
		l.convergeAll(ctx, fleet, lock, hypervisors, parallel),
		l.convergeAll(ctx, fleet, lock, nodes, len(nodes)),
		l.convergeAll(ctx, fleet, lock, edges, parallel),
		l.vmsInService(fleet),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lock = lock
	return errors.Join(append(errs, l.saveLock(lock))...)
}

// turns parts hosts into those that converge first, all at once, and last.
func turns(fleet *config.Fleet, hosts []string) (hypervisors, nodes, edges []string) {
	for _, name := range hosts {
		has := func(r config.Role) bool {
			return slices.ContainsFunc(fleet.Hosts, func(h config.Host) bool { return h.Name == name && h.Has(r) })
		}
		switch {
		case has(config.LoadBalancer):
			nodes = append(nodes, name)
		case has(config.Hypervisor):
			hypervisors = append(hypervisors, name)
		default:
			edges = append(edges, name)
		}
	}
	return hypervisors, nodes, edges
}

// convergeAll converges hosts, at most so many at once.
func (l *Lab) convergeAll(ctx context.Context, fleet *config.Fleet, lock *portmap.Lock, hosts []string, atOnce int) error {
	errs := make([]error, len(hosts))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, host := range hosts {
		group.Go(func() error {
			errs[i] = l.converge(ctx, fleet, lock, host)
			return nil
		})
	}
	_ = group.Wait() // the goroutines return nil, their errors are in errs
	return errors.Join(errs...)
}

func (l *Lab) converge(ctx context.Context, fleet *config.Fleet, lock *portmap.Lock, host string) (err error) {
	ns, err := netns.Open(hostNamespace(l.prefix, host))
	if err != nil {
		return fmt.Errorf("converge %s: %w", host, err)
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	if err := l.opts.Converge(ctx, Site{Host: host, NS: ns, Prefix: l.HostPrefix(host), Fleet: fleet, Lock: lock, Sick: l.opts.Sick}); err != nil {
		return fmt.Errorf("converge %s: %w", host, err)
	}
	return nil
}
