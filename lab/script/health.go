package script

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/topology"
)

// healthChecks are those of all hosts of the lab. They take the place of the fleet's source, which carries verdicts between
// real hosts.
type healthChecks struct {
	// converging keeps a scenario's own changes and those that verdicts cause apart.
	converging sync.Mutex

	mu       sync.Mutex
	failing  map[topology.BackendID]bool
	problems []error

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// sick reports whether a backend fails its check.
func (h *healthChecks) sick(id topology.BackendID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing[id]
}

func (h *healthChecks) judged(id topology.BackendID, healthy bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if healthy {
		delete(h.failing, id)
		return
	}
	h.failing[id] = true
}

func (h *healthChecks) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problems = append(h.problems, err)
}

// end ends the checks and returns what went wrong beside them.
func (h *healthChecks) end() error {
	if h.cancel != nil {
		h.cancel()
		h.done.Wait()
		h.cancel = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	problems := h.problems
	h.problems, h.failing = nil, nil
	return errors.Join(problems...)
}

// watch begins the health checks of all hosts, with the backends of the fleet as it is now.
func (s *stage) watch(c call) error {
	if s.tools.Watch == nil || s.lab == nil || len(c.args) != 0 {
		return mistakef("usage, after lab up and with an agent: watch")
	}
	if s.anyDaemon() {
		return errChecksAndDaemons
	}
	if err := s.health.end(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s.health.cancel = cancel
	s.health.failing = make(map[topology.BackendID]bool)
	changes := make(chan struct{}, 1)
	for _, h := range s.fleet.Hosts {
		if h.State == config.Down {
			continue
		}
		site, err := s.siteOf(h.Name)
		if err != nil {
			return err
		}
		s.health.done.Go(func() {
			err := s.tools.Watch(ctx, site, func(id topology.BackendID, healthy bool, _ error) {
				s.health.judged(id, healthy)
				select {
				case changes <- struct{}{}:
				default: // one is waiting already and will see this verdict, too
				}
			})
			if err := errors.Join(err, site.NS.Close()); err != nil && ctx.Err() == nil {
				s.health.fail(fmt.Errorf("health checks of %s: %w", site.Host, err))
			}
		})
	}
	s.health.done.Go(func() { s.follow(ctx, changes) })
	return nil
}

// follow brings the verdicts to all hosts.
func (s *stage) follow(ctx context.Context, changes <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			if err := s.converge(ctx); err != nil {
				s.health.fail(fmt.Errorf("follow a verdict: %w", err))
			}
		}
	}
}

// siteOf is a host as its agent sees it; the caller closes its namespace.
func (s *stage) siteOf(host string) (lab.Site, error) {
	ns, err := s.open(host)
	return lab.Site{Host: host, NS: ns, Prefix: s.lab.HostPrefix(host), Fleet: s.fleet, Lock: s.lock, Sick: s.health.sick}, err
}

// wantSick compares the verdicts with those that the scenario expects.
func (s *stage) wantSick(c call) error {
	s.health.mu.Lock()
	var got []string
	for id := range maps.Keys(s.health.failing) {
		got = append(got, id.String())
	}
	s.health.mu.Unlock()
	slices.Sort(got)
	want := slices.Sorted(slices.Values(c.args))
	c.printf("sick: %v", got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("backends that fail their checks: %v, want %v", got, want)
	}
	return nil
}
