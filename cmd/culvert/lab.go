package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/demo"
	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/script"
	"github.com/culvertnet/culvert/portmap"
)

var labNameFlag = &cli.StringFlag{Name: "name", Value: "lab", Usage: "call the lab, and begin its namespaces with, `NAME`"}

func labCommand() *cli.Command {
	return &cli.Command{
		Name:  "lab",
		Usage: "a whole fleet out of network namespaces on this machine",
		Description: "Every host, VM and router of the lab is a network namespace that `ip netns` shows, so that any tool can look into it.\n" +
			"Nothing outside the lab's namespaces is touched.",
		Action:      unknownCommand,
		Subcommands: []*cli.Command{labUpCommand(), labDownCommand(), labExecCommand(), labRunCommand(), labDemoCommand()},
	}
}

func labUpCommand() *cli.Command {
	return &cli.Command{
		Name:  "up",
		Usage: "build the fleet's hardware and let every host converge",
		Description: "The lock is made for the lab; the fleet's own is neither read nor written.\n\n" +
			"Example:\n   culvert lab up -f fleet.yaml\n   ip netns exec lab-hv1 tcpdump -ni underlay0",
		Flags: []cli.Flag{
			fleetFlag, labNameFlag,
			&cli.IntFlag{Name: "underlay-mtu", Value: 1550, Usage: "give the underlay an MTU of `BYTES`"},
		},
		Before: wellFormedAsRoot,
		Action: func(c *cli.Context) error {
			fleet, lock, err := labFleet(c)
			if err != nil {
				return err
			}
			l, err := lab.Up(fleet, lab.Options{Name: c.String(labNameFlag.Name), UnderlayMTU: c.Int("underlay-mtu"), Converge: live.Converge})
			if err != nil {
				return err
			}
			// The context ends with Ctrl-C.
			if err := errors.Join(l.Apply(c.Context, fleet, lock), c.Context.Err()); err != nil {
				return errors.Join(err, l.Down())
			}
			nodes := make([]string, 0, len(fleet.Hosts))
			for _, h := range fleet.Hosts {
				nodes = append(nodes, h.Name)
			}
			for _, t := range fleet.Tenants {
				for _, i := range t.Interfaces {
					nodes = append(nodes, lab.VM{Tenant: t.Name, Interface: i.Name}.String())
				}
			}
			w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NODE\tNAMESPACE")
			for _, n := range append(nodes, lab.Server, lab.Far, lab.Internet) {
				name, err := l.Namespace(n)
				if err != nil {
					return err
				}
				fmt.Fprintf(w, "%s\t%s\n", n, name)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.Writer, "\nThe server has %v and others, far (behind a smaller MTU) %v.\n", lab.ServerAddresses()[0], lab.FarAddresses()[0])
			return err
		},
	}
}

func labDownCommand() *cli.Command {
	return &cli.Command{
		Name:   "down",
		Usage:  "remove the lab with everything in it",
		Flags:  []cli.Flag{labNameFlag},
		Before: wellFormedAsRoot,
		Action: func(c *cli.Context) error { return lab.Down(c.String(labNameFlag.Name)) },
	}
}

func labExecCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a program in a node of the lab",
		ArgsUsage: "NODE PROGRAM [ARGUMENT ...]",
		Description: "A node is a host (hv1), a tenant on a host (hv1/acme), a VM (acme/vm-a), or server, far, internet.\n\n" +
			"Example:\n   culvert lab exec acme/vm-a ping -c 3 198.51.100.1",
		Flags:  []cli.Flag{labNameFlag},
		Before: needRoot,
		Action: func(c *cli.Context) error {
			if c.NArg() < 2 {
				return inputError{errors.New("want a node and a program; see culvert lab exec --help")}
			}
			l, err := lab.Open(lab.Options{Name: c.String(labNameFlag.Name), Converge: live.Converge})
			if err != nil {
				return err
			}
			status, err := l.Exec(c.Args().First(), c.Args().Tail(), os.Stdin, c.App.Writer, c.App.ErrWriter)
			if err == nil && status != 0 {
				return exitStatus(status)
			}
			return err
		},
	}
}

func labRunCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "play scenarios, each in a lab of its own",
		ArgsUsage: "FILE ...",
		Description: "A scenario is a txtar file: commands that read like a story, then the files they use. Exits with 1 if one fails.\n\n" +
			"Example:\n   culvert lab run tests/scenario/testdata/nat/replies.txtar\n\n" + script.Help,
		Before: func(c *cli.Context) error {
			if err := needRoot(c); err != nil {
				return err
			}
			if c.NArg() == 0 {
				return inputError{errors.New("want a scenario; see culvert lab run --help")}
			}
			return nil
		},
		Action: func(c *cli.Context) error {
			failed, err := script.Play(c.App.Writer, live.Tools(), c.Args().Slice()...)
			if err == nil && len(failed) > 0 {
				return exitStatus(statusFailure)
			}
			return err
		},
	}
}

func labDemoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "play the stories of the NAT gateway and the load balancer on real packets",
		Description: "Builds labs of its own and removes them. First a VM talks to the outside while the edge sends every reply to the wrong\n" +
			"host. Then clients outside download from VMs behind a load balancer while its nodes and backends come and go; this\n" +
			"needs a kernel with IPVS. Exits with 0 only if every step was verified.",
		Before: wellFormedAsRoot,
		Action: func(c *cli.Context) error {
			err := demo.Play(c.Context, c.App.Writer, demo.Tools{Converge: live.Converge, Counters: live.Counters, CanBalance: live.CanBalance})
			if c.Context.Err() != nil {
				return fmt.Errorf("interrupted: %w", err)
			}
			return err
		},
	}
}

// labFleet reads a fleet and hands out what it needs from scratch.
func labFleet(c *cli.Context) (*config.Fleet, *portmap.Lock, error) {
	fleet, err := loadFleet(c)
	if err != nil {
		return nil, nil, err
	}
	lock, err := allocate(portmap.NewLock(), nil, fleet, nil, nil)
	return fleet, lock, err
}
