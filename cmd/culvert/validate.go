package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Name:  "validate",
		Usage: "check the fleet document",
		Description: "Prints every problem with its place, the text and the remedy, and exits with 2 if there is one.\n\n" +
			"Example:\n   culvert validate -f fleet.yaml",
		Flags:  []cli.Flag{fleetFlag},
		Before: wellFormed,
		Action: func(c *cli.Context) error {
			fleet, err := loadFleet(c)
			if err != nil {
				return err
			}
			interfaces := 0
			for _, t := range fleet.Tenants {
				interfaces += len(t.Interfaces)
			}
			_, err = fmt.Fprintf(c.App.Writer, "%s is valid; hosts: %d, tenants: %d, interfaces: %d\n",
				c.String(fleetFlag.Name), len(fleet.Hosts), len(fleet.Tenants), interfaces)
			return err
		},
	}
}

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "print the JSON schema of the fleet document",
		Description: "Editors that know JSON schema complete and check the document while it is written.\n\n" +
			"Example:\n   culvert schema > fleet.schema.json\n" +
			"   and in fleet.yaml:  # yaml-language-server: $schema=fleet.schema.json",
		Before: wellFormed,
		Action: func(c *cli.Context) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.App.Writer, string(schema))
			return err
		},
	}
}
