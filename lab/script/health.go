package script

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
)

// verdicts are what the hosts' daemons say about their backends. They take the place of the fleet's source, which carries verdicts
// between real hosts.
type verdicts struct {
	mu   sync.Mutex
	sick map[string][]source.Sick
}

// all is what all hosts say; it does not change any more.
func (v *verdicts) all() map[string][]source.Sick {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.copied()
}

func (v *verdicts) copied() map[string][]source.Sick {
	out := maps.Clone(v.sick)
	if out == nil {
		out = map[string][]source.Sick{}
	}
	return out
}

// counts reports whether a host says that a backend fails its check.
func (v *verdicts) counts(host string, id topology.BackendID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(v.sick[host], func(s source.Sick) bool { return s.Backend == id })
}

// publish brings what a host says to all daemons. Hosts without one hear of it when they are applied next.
func (s *stage) publish(host string, sick []source.Sick) {
	s.verdicts.mu.Lock()
	defer s.verdicts.mu.Unlock() // the last word goes out last
	s.verdicts.sick = s.verdicts.copied()
	s.verdicts.sick[host] = sick
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.daemons {
		d.Hear(s.verdicts.sick)
	}
}

// siteOf is a host as its agent sees it; the caller closes its namespace.
func (s *stage) siteOf(host string) (lab.Site, error) {
	ns, err := s.open(host)
	return lab.Site{Host: host, NS: ns, Prefix: s.lab.HostPrefix(host), Fleet: s.fleet, Lock: s.lock, Sick: s.verdicts.counts}, err
}

// wantSick compares the verdicts with those that the scenario expects.
func (s *stage) wantSick(c call) error {
	var got []string
	for _, list := range s.verdicts.all() {
		for _, b := range list {
			got = append(got, b.Backend.String())
			c.printf("%s is sick: %s", b.Backend, b.Why)
		}
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(c.args))
	if !slices.Equal(got, want) {
		return fmt.Errorf("backends that fail their checks: %v, want %v", got, want)
	}
	return nil
}
