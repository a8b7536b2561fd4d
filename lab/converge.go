package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

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
	// Together, if set, returns when all hosts that converge at the same time have come to it or have ended. A load balancer's nodes may
	// change their backends no further apart than package ipvs allows (HeadsUp); so a busy machine does not part them further.
	Together func()
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
	together := meeting(len(hosts))
	for i, host := range hosts {
		arrive, meet := together()
		if atOnce < len(hosts) {
			meet = nil // some begin when others have ended
		}
		group.Go(func() error {
			defer arrive()
			errs[i] = l.converge(ctx, Site{Host: host, Fleet: fleet, Lock: lock, Together: meet})
			return nil
		})
	}
	_ = group.Wait() // the goroutines return nil, their errors are in errs
	return errors.Join(errs...)
}

// meeting is of so many. Each has two functions of its own: to arrive, once or more often, and to arrive and wait for all others.
func meeting(of int) func() (arrive, meet func()) {
	var missing sync.WaitGroup
	missing.Add(of)
	return func() (arrive, meet func()) {
		arrive = sync.OnceFunc(missing.Done)
		return arrive, func() { arrive(); missing.Wait() }
	}
}

func (l *Lab) converge(ctx context.Context, site Site) (err error) {
	ns, err := netns.Open(hostNamespace(l.prefix, site.Host))
	if err != nil {
		return fmt.Errorf("converge %s: %w", site.Host, err)
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	site.NS, site.Prefix, site.Sick = ns, l.HostPrefix(site.Host), l.opts.Sick
	if err := l.opts.Converge(ctx, site); err != nil {
		return fmt.Errorf("converge %s: %w", site.Host, err)
	}
	return nil
}
