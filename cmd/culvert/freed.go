package main

import (
	"errors"
	"fmt"
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
}

// settled reports whether everybody knows of a block that was given up: each host that lives holds a fleet in which it was, and
// above all the one that had it, which ends the flows before it says so. If that one is lost, nothing is known of it. It may live with a
// dead daemon and use the ports, so they wait until it is back, or until the operator marks it down or takes it from the fleet: the
// others then let nothing of it in, and have to have said so.
func (s *settlement) settled(f portmap.Freed) bool {
	if f.After == 0 {
		return true // from a file
	}
	owner, after := f.Claimant.Host, f.After
	known := slices.IndexFunc(s.hosts, func(h fleetHost) bool { return h.Host == owner && h.State != "stranger" })
	if owner != "" && (known < 0 || s.hosts[known].State == string(config.Down)) {
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
	return &settlement{fleet.Revision, fleetHosts(fleet, hosts), make(map[string]bool)}, nil
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
			return portmap.Date(old.Fleet, base, lock, old.Revision), nil
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
