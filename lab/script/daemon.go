package script

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
)

// Daemon is a host's daemon that runs.
type Daemon interface {
	// Push gives it another fleet and waits until the host has converged to it.
	Push(ctx context.Context, fleet *config.Fleet, lock *portmap.Lock) error
	// Hear tells it which backends are sick, by the hosts that say so. It does not wait.
	Hear(sick map[string][]source.Sick)
	// Idle waits until it has nothing to look at for the next second.
	Idle(ctx context.Context) error
	// Reload has it look at everything.
	Reload()
	// Drift is how many changes undid what others had done.
	Drift() int
	// Repaired is what it did last to undo what others had done.
	Repaired() []Repair
	// Status is how it is, for people.
	Status() string
	// Stop ends it. The host stays as it is.
	Stop() error
}

// Repair is a change that undid what others had done.
type Repair struct {
	// Began is when the daemon looked, At when it was done.
	Began, At time.Time
	Change    string
}

// daemonCommand starts and stops daemons, and prints how they are.
func (s *stage) daemonCommand(c call) error {
	const usage = "usage, after lab up and with an agent: daemon start|stop|idle|reload|status HOST..."
	if len(c.args) < 2 || s.lab == nil || s.tools.Daemon == nil {
		return mistakef(usage)
	}
	do, ok := map[string]func(call, string) error{
		"start": s.startDaemon, "stop": s.stopDaemon, "idle": s.idleDaemon, "reload": s.reloadDaemon, "status": s.daemonStatus,
	}[c.args[0]]
	if !ok {
		return mistakef(usage)
	}
	var errs []error
	for _, host := range c.args[1:] {
		errs = append(errs, do(c, host))
	}
	return errors.Join(errs...)
}

// startDaemon starts the host's daemon, which gets the fleet as it is now, and waits until the host has converged.
func (s *stage) startDaemon(c call, host string) error {
	if s.daemon(host) != nil {
		return mistakef("the daemon of %s runs", host)
	}
	var d Daemon
	err := s.site(host, func(site lab.Site) (err error) {
		d, err = s.tools.Daemon(site, func(sick []source.Sick) { s.publish(host, sick) })
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.daemons[host] = d
	s.mu.Unlock()
	d.Hear(s.verdicts.all())
	return d.Push(c.ctx, s.fleet, s.lock)
}

func (s *stage) stopDaemon(_ call, host string) error {
	d := s.daemon(host)
	if d == nil {
		return mistakef("no daemon of %s runs", host)
	}
	s.mu.Lock()
	delete(s.daemons, host)
	s.mu.Unlock()
	return d.Stop()
}

func (s *stage) idleDaemon(c call, host string) error {
	d := s.daemon(host)
	if d == nil {
		return mistakef("no daemon of %s runs", host)
	}
	return d.Idle(c.ctx)
}

func (s *stage) reloadDaemon(_ call, host string) error {
	d := s.daemon(host)
	if d == nil {
		return mistakef("no daemon of %s runs", host)
	}
	d.Reload()
	return nil
}

func (s *stage) daemonStatus(c call, host string) error {
	d := s.daemon(host)
	if d == nil {
		return mistakef("no daemon of %s runs", host)
	}
	c.printf("%s", d.Status())
	return nil
}

// drift says how many changes a daemon has made to undo what others did.
func (s *stage) drift(c call) error {
	if len(c.args) != 3 {
		return mistakef("usage: drift HOST OP N")
	}
	d := s.daemon(c.args[0])
	if d == nil {
		return mistakef("no daemon of %s runs", c.args[0])
	}
	want, err := parseComparison(c.args[1], c.args[2])
	if err != nil {
		return err
	}
	if err := want.check("repaired changes", d.Drift()); err != nil {
		return fmt.Errorf("%w:\n%s", err, d.Status())
	}
	return nil
}

// repaired says that the last thing that a daemon did to undo what others had done has the words, and how soon after the damage it was
// done, by the daemon's own clock.
func (s *stage) repaired(c call) error {
	args, opts, err := split(c.args, "within")
	if err != nil {
		return err
	}
	within, err := s.patience(opts, "within", 0)
	if err != nil {
		return err
	}
	if len(args) < 2 || s.damaged.at.IsZero() {
		return mistakef("usage, after damage: repaired HOST [within=D] WORDS")
	}
	d := s.daemon(args[0])
	if d == nil {
		return mistakef("no daemon of %s runs", args[0])
	}
	words := strings.Join(args[1:], " ")
	for _, r := range d.Repaired() {
		if !strings.Contains(r.Change, words) || r.At.Before(s.damaged.at) {
			continue
		}
		took, stood := r.At.Sub(s.damaged.at), s.pulse.stood()-s.damaged.stood
		c.printf("repaired after %s, of which the machine stood still for %s", took.Round(time.Millisecond), stood.Round(time.Millisecond))
		// It excuses as much again and no more: lab daemons share this process, and one that hogs all processors looks like a busy machine.
		if within > 0 && took-min(stood, within) > within {
			return fmt.Errorf("%q was repaired after %s, of which the machine stood still for %s; want %s:\n%s", words, took, stood, within, d.Status())
		}
		if within > 0 {
			s.noticed = append(s.noticed, r.Began.Sub(s.damaged.at))
		}
		return nil
	}
	return fmt.Errorf("%q was not repaired last, after the damage:\n%s", words, d.Status())
}

// fewestNoticed are needed for a median that says something.
const fewestNoticed = 5

// medianNoticed compares how long daemons took to notice what repaired has seen. One may have been late because the machine was busy;
// most were not.
func (s *stage) medianNoticed(c call) error {
	if len(c.args) != 2 || c.args[0] != "<=" || len(s.noticed) < fewestNoticed {
		return mistakef("usage, after repaired within=D has held %d times: noticed <= D", fewestNoticed)
	}
	most, err := duration(c.args[1])
	if err != nil {
		return err
	}
	sorted := slices.Sorted(slices.Values(s.noticed))
	c.printf("%d damages were noticed after %s", len(sorted), sorted)
	if median := sorted[len(sorted)/2]; median > most {
		return fmt.Errorf("the median of %s is %s, want at most %s", sorted, median, most)
	}
	return nil
}

func (s *stage) daemon(host string) Daemon {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.daemons[host]
}

// convergeSite converges a host: by its daemon, or once.
func (s *stage) convergeSite(ctx context.Context, site lab.Site) error {
	if d := s.daemon(site.Host); d != nil {
		return d.Push(ctx, site.Fleet, site.Lock)
	}
	return s.tools.Converge(ctx, site)
}

func (s *stage) stopDaemons() error {
	var errs []error
	for _, d := range s.daemons {
		errs = append(errs, d.Stop())
	}
	s.daemons = map[string]Daemon{}
	return errors.Join(errs...)
}
