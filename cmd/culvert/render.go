package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/agent"
)

func renderCommand() *cli.Command {
	return &cli.Command{
		Name:  "render",
		Usage: "print what a host should hold: routes as ip commands, rules as nft text",
		Description: "For reading; it needs no root and asks no kernel, so any host of the fleet can be rendered anywhere.\n\n" +
			"Example:\n   culvert render -f fleet.yaml --host hv1",
		Flags: []cli.Flag{
			fleetFlag, lockFlag, hostFlag,
			&cli.IntFlag{Name: "underlay-mtu", Value: 1500, Usage: "assume an underlay with an MTU of `BYTES`"},
		},
		Before: wellFormed,
		Action: func(c *cli.Context) error {
			fleet, lock, err := load(c)
			if err != nil {
				return err
			}
			name, err := hostName(c)
			if err != nil {
				return err
			}
			text, err := agent.Render(fleet, lock, name, c.Int("underlay-mtu"))
			if err != nil {
				return inputError{err}
			}
			_, err = fmt.Fprint(c.App.Writer, text)
			return err
		},
	}
}
