package lab

import (
	"context"
	"errors"
	"fmt"

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

// parallel is how many hosts converge at once.
const parallel = 2

// Apply converges hosts to the fleet and the lock: those named, or all that are up. The others keep what they have.
// It returns when the VMs' NICs that the agents brought up take packets. The hardware must be that of the fleet ([Lab.Rewire]). A host's failure does not keep the others from converging.
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
	errs := make([]error, len(hosts))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, host := range hosts {
		group.Go(func() error {
			errs[i] = l.converge(ctx, fleet, lock, host)
			return nil
		})
	}
	_ = group.Wait() // the goroutines return nil, their errors are in errs
	errs = append(errs, l.vmsInService(fleet))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lock = lock
	return errors.Join(append(errs, l.saveLock(lock))...)
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
