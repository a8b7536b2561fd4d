package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/agent"
)

// doctorFleetFlag has no default: without it the kernel alone is checked.
var doctorFleetFlag = &cli.StringFlag{
	Name: fleetFlag.Name, Aliases: fleetFlag.Aliases, EnvVars: fleetFlag.EnvVars,
	Usage: "check the host's part of the fleet in `FILE` as well",
}

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check whether this host's kernel can do it, with a remedy for what is missing",
		Description: "Builds a tenant in scratch namespaces and removes it again; touches nothing else. With a fleet it also checks the\n" +
			"host's underlay, MTU, uplink and VM devices. Exits with 1 if there is a problem.\n\n" +
			"Examples:\n   culvert doctor\n   culvert doctor -f fleet.yaml --host hv1",
		Flags: []cli.Flag{doctorFleetFlag, lockFlag, hostFlag, outputFlag, namespaceFlag, prefixFlag},
		Before: func(c *cli.Context) error {
			if err := fleetGiven(c); err != nil {
				return err
			}
			return wellFormedAsRoot(c)
		},
		Action: func(c *cli.Context) error {
			asJSON, err := jsonWanted(c)
			if err != nil {
				return err
			}
			findings := agent.Doctor()
			if c.IsSet(fleetFlag.Name) {
				fleet, lock, err := load(c)
				if err != nil {
					return err
				}
				name, err := hostName(c)
				if err != nil {
					return err
				}
				err = withAgent(c, name, func(a *agent.Agent) error {
					findings = refined(findings, a.Examine(fleet, lock))
					return nil
				})
				if err != nil {
					return err
				}
			}
			if asJSON {
				err = printJSON(c.App.Writer, findings)
			} else {
				err = printFindings(c.App.Writer, findings)
			}
			if err != nil {
				return err
			}
			for _, f := range findings {
				if f.Level == agent.Problem {
					return exitStatus(statusFailure)
				}
			}
			return nil
		},
	}
}

// fleetGiven refuses flags that doctor would ignore without a fleet.
func fleetGiven(c *cli.Context) error {
	if c.IsSet(fleetFlag.Name) {
		return nil
	}
	for _, f := range []*cli.StringFlag{lockFlag, hostFlag, namespaceFlag, prefixFlag} {
		if given(c, f) {
			return inputError{fmt.Errorf("--%s says nothing without a fleet; name one with -f, or leave --%s out", f.Name, f.Name)}
		}
	}
	return nil
}

// refined replaces what was found of any host by what was found of this one.
func refined(general, own []agent.Finding) []agent.Finding {
	general = slices.DeleteFunc(general, func(g agent.Finding) bool {
		return slices.ContainsFunc(own, func(f agent.Finding) bool { return f.Check == g.Check })
	})
	return append(general, own...)
}

// printFindings prints a table, then the remedies.
func printFindings(out io.Writer, findings []agent.Finding) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Level, f.Check, f.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Remedy != "" {
			if _, err := fmt.Fprintf(out, "\n%s, %s: %s\n", f.Level, f.Check, f.Remedy); err != nil {
				return err
			}
		}
	}
	return nil
}
