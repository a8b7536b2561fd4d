package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source/etcd"
)

// carryOut replaces the fleet. Where ports are added it does so in two rounds: in the first every host gets to know whose they
// are, in the second they are used.
func carryOut(c *cli.Context, s *etcd.Store, old *etcd.Fleet, fleet *config.Fleet, lock *portmap.Lock) (int64, error) {
	stepFleet, step, grows := portmap.Announce(old.Fleet, old.Lock, fleet, lock)
	if !grows || c.Bool("at-once") {
		return s.Replace(c.Context, old, fleet, lock)
	}
	if err := portmap.Prove(step, stepFleet); err != nil {
		return 0, fmt.Errorf("nothing was written: the round that announces new ports cannot be proven; push --at-once:\n%w", err)
	}
	revision, err := s.Replace(c.Context, old, stepFleet, step)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(c.App.Writer, "announced: generation %d; waiting for the hosts\n", revision)
	announced, err := s.Read(c.Context)
	if err != nil {
		return 0, err
	}
	if announced.Revision != revision {
		return 0, etcd.ErrChanged
	}
	if err := awaitHosts(c, s, announced); err != nil {
		return 0, fmt.Errorf("new ports are announced and not used yet: %w; see `culvert status --fleet`, then push again, or push --at-once", err)
	}
	return s.Replace(c.Context, announced, fleet, lock)
}

// awaitHosts waits until every host that lives has converged to the fleet.
func awaitHosts(c *cli.Context, s *etcd.Store, fleet *etcd.Fleet) error {
	deadline := time.After(c.Duration("wait"))
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		hosts, err := s.Hosts(c.Context, fleet)
		if err != nil {
			return err
		}
		var late []string
		for _, h := range fleetHosts(fleet, hosts) {
			// Nobody sends traffic for any host to one that is lost, unseen or down.
			if h.Live && h.State != "stranger" && h.State != string(config.Down) && etcd.Revision(h.Converged) < fleet.Revision {
				late = append(late, h.Host)
			}
		}
		if len(late) == 0 {
			return nil
		}
		select {
		case <-c.Context.Done():
			return errors.New("interrupted")
		case <-deadline:
			return fmt.Errorf("%s did not take generation %d over in %s", strings.Join(late, ", "), fleet.Revision, c.Duration("wait"))
		case <-again.C:
		}
	}
}
