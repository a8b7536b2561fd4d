package main

import (
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/nft"
)

// ownNamespace stands for the host's own namespace where tenants are listed; no tenant can have that name.
const ownNamespace = "(host)"

func countersCommand() *cli.Command {
	return &cli.Command{
		Name:  "counters",
		Usage: "print what this host has redirected, refused and dropped, by tenant",
		Description: "The counters are the kernel's; docs/ruleset.md says what each means.\n\n" +
			"Examples:\n   culvert counters\n   culvert counters -o json",
		Flags:  []cli.Flag{outputFlag, namespaceFlag, prefixFlag},
		Before: wellFormedAsRoot,
		Action: func(c *cli.Context) error {
			counters, err := agent.Counters(c.String(prefixFlag.Name))
			if err != nil {
				return err
			}
			asJSON, err := jsonWanted(c)
			if err != nil {
				return err
			}
			err = withAgent(c, "", func(a *agent.Agent) (err error) {
				counters[ownNamespace], err = a.GuardCounters()
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.App.Writer, countersReport(counters))
			}
			w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TENANT\tCOUNTER\tPACKETS\tBYTES")
			for _, tenant := range slices.Sorted(maps.Keys(counters)) {
				for _, name := range slices.Sorted(maps.Keys(counters[tenant])) {
					n := counters[tenant][name]
					fmt.Fprintf(w, "%s\t%s\t%d\t%d\n", tenant, name, n.Packets, n.Bytes)
				}
			}
			return w.Flush()
		},
	}
}

// count is a counter for programs.
type count struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// countersReport is what `culvert counters -o json` prints: counters by tenant and name, an empty object if there are none.
func countersReport(counters map[string]map[string]nft.Count) map[string]map[string]count {
	out := make(map[string]map[string]count, len(counters))
	for tenant, all := range counters {
		out[tenant] = make(map[string]count, len(all))
		for name, n := range all {
			out[tenant][name] = count(n)
		}
	}
	return out
}
