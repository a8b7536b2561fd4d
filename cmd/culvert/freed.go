package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source/etcd"
)

// settlement knows which ports that were given up can be handed out: nobody uses them any more.
type settlement struct {
	revision int64
	hosts    []fleetHost
	// late are the hosts that were waited for.
	late map[string]bool
	// unfenced are the edges of the fleet of which the operator has not said that their uplink is cut.
	unfenced map[string]bool
}

// unfenced are the fleet's edges that are not among those that the operator has cut off. What such a host sends leaves by its own uplink:
// the others letting nothing of it in does not stop it.
func unfenced(fleet *config.Fleet, fenced []string) map[string]bool {
	out := make(map[string]bool)
	for _, h := range fleet.Hosts {
		if h.Has(config.Edge) && !slices.Contains(fenced, h.Name) {
			out[h.Name] = true
		}
	}
	return out
}

// gone refuses to take an edge from the fleet while ports wait for it: nobody would know any more that it may send from them.
func (s *settlement) gone(fleet *config.Fleet, lock *portmap.Lock) error {
	for _, tenant := range slices.Sorted(maps.Keys(lock.Tenants)) {
		for _, f := range lock.Tenants[tenant].Freed {
			host := f.Claimant.Host
			edge := slices.ContainsFunc(fleet.Hosts, func(h config.Host) bool { return h.Name == host && h.Has(config.Edge) })
			if s.unfenced[host] && !edge && !s.settled(f) {
				return inputError{fmt.Errorf("host %s is an edge and may use %s of tenant %s, which would be given to others without it in the fleet as an edge; take its interfaces out first "+
					"and push the rest when it has converged (culvert status --fleet), or cut its uplink and push with --fenced %s", host, f.Block, tenant, host)}
			}
		}
	}
	return nil
}

// settled reports whether everybody knows of a block that was given up: each host that lives holds a fleet in which it was, and
// above all the one that had it, which ends the flows before it says so. If that one is lost, nothing is known of it. It may live with a
// dead daemon and use the ports, so they wait until it is back, or until the operator marks it down or takes it from the fleet: the
// others then let nothing of it in, and have to have said so. An edge needs nobody for what it sends, so its uplink has to be cut as well.
func (s *settlement) settled(f portmap.Freed) bool {
	if f.After == 0 {
		return true // from a file
	}
	owner, after := f.Claimant.Host, f.After
	known := slices.IndexFunc(s.hosts, func(h fleetHost) bool { return h.Host == owner && h.State != "stranger" })
	if owner != "" && (known < 0 || s.hosts[known].State == string(config.Down)) {
		if known >= 0 && s.unfenced[owner] && etcd.Revision(s.hosts[known].Converged) <= after {
			s.late[owner+" (an edge: cut its uplink, then push with --fenced "+owner+")"] = true
			return false
		}
		after = s.revision - 1
	}
	all := true
	for _, h := range s.hosts {
		if h.State == "stranger" || h.State == string(config.Down) || etcd.Revision(h.Converged) > after {
			continue
		}
		if h.Live || h.Host == owner || owner == "" {
			s.late[h.Host] = true
			all = false
		}
	}
	return all
}

func (s *settlement) String() string {
	names := make([]string, 0, len(s.late))
	for name := range s.late {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func newSettlement(c *cli.Context, s *etcd.Store, fleet *etcd.Fleet) (*settlement, error) {
	hosts, err := s.Hosts(c.Context, fleet)
	if err != nil {
		return nil, err
	}
	return &settlement{fleet.Revision, fleetHosts(fleet, hosts), make(map[string]bool), unfenced(fleet.Fleet, c.StringSlice("fenced"))}, nil
}

// allocateSettled allocates from etcd's lock. What was given up is handed out when all know; where the fleet needs such ports, it
// waits for that.
func allocateSettled(c *cli.Context, s *etcd.Store, old *etcd.Fleet, base *portmap.Lock, fleet *config.Fleet) (*portmap.Lock, error) {
	deadline := time.Now().Add(c.Duration("wait"))
	for {
		known, err := newSettlement(c, s, old)
		if err != nil {
			return nil, err
		}
		lock, err := allocate(base, old.Fleet, fleet, c.StringSlice("release"), known.settled)
		if err == nil {
			lock = portmap.Date(old.Fleet, base, lock, old.Revision)
			return lock, known.gone(fleet, lock)
		}
		var short *portmap.Shortage
		var pending *portmap.Pending
		waits := errors.As(err, &short) && short.Held > 0 || errors.As(err, &pending)
		if len(known.late) == 0 || !waits || c.Bool("check") {
			return nil, err
		}
		if _, never := allocate(base, old.Fleet, fleet, c.StringSlice("release"), nil); never != nil {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w; waited %s for %s", err, c.Duration("wait"), known)
		}
		select {
		case <-c.Context.Done():
			return nil, errors.New("interrupted")
		case <-time.After(time.Second):
		}
	}
}
