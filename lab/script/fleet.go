package script

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/portmap"
)

func (s *stage) labCommand(c call) error {
	usage := "lab up [-bare] [FLEET] [mtu=N] [vmmtu=N] [unplugged=VM,...], or lab down"
	args, opts, err := c.want(usage, 1, 3, "mtu", "vmmtu", "unplugged")
	if err != nil {
		return err
	}
	switch {
	case args[0] == "down" && len(args) == 1:
		return s.close()
	case args[0] != "up":
		return mistakef("usage: %s", usage)
	}
	bare := len(args) > 1 && args[1] == "-bare"
	if bare {
		args = args[1:]
	}
	if len(args) == 1 {
		args = append(args, "fleet.yaml")
	}
	return s.up(c, args[1], bare, opts)
}

func (s *stage) up(c call, file string, bare bool, opts options) error {
	if s.lab != nil {
		return mistakef("the lab is up")
	}
	how := lab.Options{Name: s.name, Converge: s.convergeSite, Sick: s.verdicts.counts}
	var errs [2]error
	how.UnderlayMTU, errs[0] = opts.number("mtu", 0)
	how.VMMTU, errs[1] = opts.number("vmmtu", 0)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for _, name := range list(opts["unplugged"]) {
		tenant, nic, _ := strings.Cut(name, "/")
		how.Unplugged = append(how.Unplugged, lab.VM{Tenant: tenant, Interface: nic})
	}
	if err := s.adopt(c, file); err != nil {
		return err
	}
	l, err := lab.Up(s.fleet, how)
	if err != nil {
		return err
	}
	s.lab = l
	c.printf("lab %s", s.name)
	if bare {
		return nil
	}
	return s.converge(c.ctx)
}

// adopt reads a fleet and allocates for it from the lock so far.
func (s *stage) adopt(c call, file string) error {
	fleet, err := config.Parse(filepath.Base(file), c.read(file))
	if err != nil {
		return mistake{err}
	}
	old := s.lock
	if old == nil {
		old = portmap.NewLock()
	}
	// A story changes one thing after the other, each everywhere.
	lock, err := portmap.Allocate(portmap.Settle(old, nil), fleet)
	if err != nil {
		return err
	}
	if err := portmap.Prove(lock, fleet); err != nil {
		return err
	}
	s.fleet, s.lock = fleet, lock
	return nil
}

func (s *stage) converge(ctx context.Context, hosts ...string) error {
	if s.lab == nil {
		return mistakef("no lab: begin with lab up")
	}
	if s.tools.Converge == nil {
		return mistakef("this build of the engine has no agent")
	}
	for _, h := range hosts {
		if err := s.wantHost(h); err != nil {
			return err
		}
	}
	s.forgetPins(hosts)
	return s.lab.Apply(ctx, s.fleet, s.lock, hosts...)
}

func (s *stage) wantHost(name string) error {
	if s.fleet == nil || !slices.ContainsFunc(s.fleet.Hosts, func(h config.Host) bool { return h.Name == name }) {
		return mistakef("no host %q in the fleet", name)
	}
	return nil
}

func (s *stage) changeFleet(c call) error {
	var hosts []string
	args := c.args
	if len(args) == 3 && args[0] == "-on" {
		hosts, args = list(args[1]), args[2:]
	}
	if len(args) != 1 || s.lab == nil {
		return mistakef("usage, after lab up: fleet [-on HOST,...] FLEET")
	}
	if err := s.adopt(c, args[0]); err != nil {
		return err
	}
	if err := s.lab.Rewire(s.fleet); err != nil {
		return err
	}
	return s.converge(c.ctx, hosts...)
}

func (s *stage) apply(c call) error { return s.converge(c.ctx, c.args...) }

func (s *stage) release(c call) error {
	if s.lock == nil {
		return mistakef("no lab: begin with lab up")
	}
	lock, err := portmap.Release(s.lock, c.args...)
	if err == nil {
		s.lock = lock
	}
	return err
}

// site runs f for a host as its agent would be run.
func (s *stage) site(host string, f func(lab.Site) error) error {
	if err := s.wantHost(host); err != nil {
		return err
	}
	site, err := s.siteOf(host)
	if err != nil {
		return err
	}
	return errors.Join(f(site), site.NS.Close())
}

func (s *stage) cleanup(c call) error {
	if s.tools.Cleanup == nil || len(c.args) == 0 {
		return mistakef("usage, with an agent: cleanup HOST...")
	}
	var errs []error
	for _, host := range c.args {
		errs = append(errs, s.site(host, func(site lab.Site) error { return s.tools.Cleanup(c.ctx, site) }))
	}
	return errors.Join(errs...)
}

func (s *stage) changes(c call) error {
	if s.tools.Changes == nil || len(c.args) != 3 {
		return mistakef("usage, with an agent: changes HOST OP N")
	}
	want, err := parseComparison(c.args[1], c.args[2])
	if err != nil {
		return err
	}
	return s.site(c.args[0], func(site lab.Site) error {
		lines, err := s.tools.Changes(c.ctx, site)
		if err != nil {
			return err
		}
		text := strings.Join(lines, "\n")
		if len(lines) > 0 {
			c.printf("%s", text)
		}
		if err := want.check("number of changes", len(lines)); err != nil {
			return fmt.Errorf("%w:\n%s", err, text)
		}
		return nil
	})
}

func (s *stage) blocks(c call) error {
	if s.lock == nil || len(c.args) > 1 {
		return mistakef("usage, after lab up: blocks [TENANT]")
	}
	for _, t := range s.fleet.Tenants {
		if len(c.args) == 1 && t.Name != c.args[0] || s.lock.Tenants[t.Name] == nil {
			continue
		}
		for _, claim := range s.lock.Tenants[t.Name].Claims {
			for _, b := range claim.Blocks {
				c.printf("%s %s %s", t.Name, claim.Claimant, b)
			}
			for _, b := range claim.Retired {
				c.printf("%s %s %s retired", t.Name, claim.Claimant, b)
			}
		}
	}
	return nil
}

func (s *stage) plug(c call) error   { return s.eachVM(c, (*lab.Lab).Plug) }
func (s *stage) unplug(c call) error { return s.eachVM(c, (*lab.Lab).Unplug) }

func (s *stage) eachVM(c call, do func(*lab.Lab, lab.VM) error) error {
	if s.lab == nil || len(c.args) == 0 {
		return mistakef("usage, after lab up: plug VM..., unplug VM...")
	}
	var errs []error
	for _, name := range c.args {
		tenant, nic, _ := strings.Cut(name, "/")
		err := do(s.lab, lab.VM{Tenant: tenant, Interface: nic})
		if errors.Is(err, lab.ErrNoNode) {
			err = mistake{err}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *stage) say(c call) error {
	c.printf("%s", strings.Join(c.args, " "))
	return nil
}

// list splits a list at its commas; nothing is no element.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
