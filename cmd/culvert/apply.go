package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/netns"
)

var namespaceFlag = &cli.StringFlag{
	Name: "namespace", Usage: "take the network namespace `NAME` for the host's own, as for a host of a lab (lab-hv1)",
}

var prefixFlag = &cli.StringFlag{
	Name: "prefix", Usage: "put `TEXT` before the names of tenant namespaces, as for a host of a lab (lab-hv1-)",
}

func planCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "print what would change on this host",
		Description: "Compares this host's kernel with the fleet; changes nothing. Exits with 0 if there is nothing to do, with 2 if\n" +
			"something would change, with 1 if it cannot tell (bad input included).\n\n" +
			"Examples:\n   culvert plan -f fleet.yaml\n   culvert plan -f fleet.yaml --host hv1 -o json",
		Flags: append([]cli.Flag{fleetFlag, lockFlag, sourceFlag, hostFlag, outputFlag, namespaceFlag, prefixFlag}, etcdFlags...),
		// 2 means changes here, so everything else is a failure.
		OnUsageError: func(c *cli.Context, err error, sub bool) error { return failure{badUsage(c, err, sub)} },
		Before: func(c *cli.Context) error {
			if err := wellFormedAsRoot(c); err != nil {
				return failure{err}
			}
			return nil
		},
		Action: func(c *cli.Context) error {
			changes := false
			err := withPlan(c, func(_ *agent.Agent, p agent.Plan) error {
				changes = !p.Empty()
				return printPlan(c, c.App.Writer, p)
			})
			switch {
			case err != nil:
				return failure{err}
			case changes:
				return exitStatus(statusChanges)
			}
			return nil
		},
	}
}

func applyCommand() *cli.Command {
	return &cli.Command{
		Name:  "apply",
		Usage: "make this host's kernel what the fleet says, once",
		Description: "Prints the changes, then makes them. Flows that the change does not concern are not touched. A second apply changes\n" +
			"nothing. What fails is said at the end, the rest is still done; run it again after the remedy.\n\n" +
			"Example:\n   culvert apply -f fleet.yaml --host hv1",
		Flags:  append([]cli.Flag{fleetFlag, lockFlag, sourceFlag, hostFlag, outputFlag, namespaceFlag, prefixFlag}, etcdFlags...),
		Before: wellFormedAsRoot,
		Action: func(c *cli.Context) error {
			return withLock(c, func() error {
				return withPlan(c, func(a *agent.Agent, p agent.Plan) error {
					if err := printPlan(c, c.App.Writer, p); err != nil {
						return err
					}
					// A failure to announce is one tenant's; the end of the program is everybody's.
					err := a.Prepare(c.Context, p)
					if c.Context.Err() != nil {
						return err
					}
					return errors.Join(err, a.Apply(p), a.Settle(c.Context, p))
				})
			})
		},
	}
}

func cleanupCommand() *cli.Command {
	return &cli.Command{
		Name:  "cleanup",
		Usage: "remove from this host exactly what is culvert's",
		Description: "Tenant namespaces with everything in them, VXLAN and uplink devices, routes. VMs' devices go back to the host's\n" +
			"namespace. Needs no fleet. The VMs lose their network.\n\n" +
			"Examples:\n   culvert cleanup --dry-run\n   culvert cleanup",
		Flags:  []cli.Flag{outputFlag, namespaceFlag, prefixFlag, &cli.BoolFlag{Name: "dry-run", Usage: "print, change nothing"}},
		Before: wellFormedAsRoot,
		Action: func(c *cli.Context) error {
			return withLock(c, func() error {
				return withAgent(c, "", func(a *agent.Agent) error {
					p, err := a.Cleanup()
					if err != nil {
						return err
					}
					if err := printPlan(c, c.App.Writer, p); err != nil || c.Bool("dry-run") {
						return err
					}
					return a.Apply(p)
				})
			})
		},
	}
}

// withPlan calls f with the plan for the host that the command line names.
func withPlan(c *cli.Context, f func(*agent.Agent, agent.Plan) error) error {
	fleet, lock, err := load(c)
	if err != nil {
		return err
	}
	name, err := hostName(c)
	if err != nil {
		return err
	}
	return withAgent(c, name, func(a *agent.Agent) error {
		if _, ok := lock.Hosts[name]; !ok {
			return inputError{fmt.Errorf("the fleet has no host %q; name one of %s with --host", name, strings.Join(slices.Sorted(maps.Keys(lock.Hosts)), ", "))}
		}
		p, err := a.Plan(fleet, lock)
		if err != nil {
			return err
		}
		return f(a, p)
	})
}

func withAgent(c *cli.Context, name string, f func(*agent.Agent) error) error {
	host, err := hostNamespace(c)
	if err != nil {
		return err
	}
	a := agent.Open(host, c.String(prefixFlag.Name), name)
	return errors.Join(f(a), a.Close(), host.Close())
}

// hostNamespace opens the namespace to take for the host's own.
func hostNamespace(c *cli.Context) (*netns.NS, error) {
	if n := c.String(namespaceFlag.Name); n != "" {
		return netns.Open(n)
	}
	return netns.Current()
}

func printPlan(c *cli.Context, w io.Writer, p agent.Plan) error {
	asJSON, err := jsonWanted(c)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, p.Report())
	}
	if p.Empty() {
		_, err = fmt.Fprintf(w, "%snothing to change\n", p)
		return err
	}
	_, err = fmt.Fprint(w, p)
	return err
}

// lockPatience is how long a command waits for another one, or for the daemon, to end a change of the host.
const lockPatience = 10 * time.Second

// withLock calls f while it holds the host's lock.
func withLock(c *cli.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(c.Context, lockPatience)
	defer cancel()
	release, err := agent.Lock(ctx, agent.LockPath(c.String(namespaceFlag.Name)))
	if err != nil {
		return err
	}
	defer release()
	return f()
}
