package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// Flags that several commands share.
var (
	fleetFlag = &cli.StringFlag{
		Name: "fleet", Aliases: []string{"f"}, Value: "fleet.yaml", EnvVars: []string{"CULVERT_FLEET"},
		Usage: "read the fleet from `FILE`",
	}
	lockFlag = &cli.StringFlag{
		Name: "lock", EnvVars: []string{"CULVERT_LOCK"},
		Usage: "read what has been handed out from `FILE` (default: fleet.lock.yaml beside the fleet)",
	}
	hostFlag = &cli.StringFlag{
		Name: "host", EnvVars: []string{"CULVERT_HOST"},
		Usage: "be the host `NAME` of the fleet (default: this machine's hostname)",
	}
	outputFlag = &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "print as text or json"}
)

// lockPath is where the lock is: as told, or beside the fleet.
func lockPath(c *cli.Context) string {
	if p := c.String(lockFlag.Name); p != "" {
		return p
	}
	fleet := c.String(fleetFlag.Name)
	base := strings.TrimSuffix(filepath.Base(fleet), filepath.Ext(fleet))
	return filepath.Join(filepath.Dir(fleet), base+".lock.yaml")
}

// load reads the fleet and the lock, and proves that they belong together.
func load(c *cli.Context) (*config.Fleet, *portmap.Lock, error) {
	fleet, err := config.Load(c.String(fleetFlag.Name))
	if err != nil {
		return nil, nil, err
	}
	path := lockPath(c)
	lock, err := portmap.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if err := portmap.Prove(lock, fleet); err != nil {
		return nil, nil, fmt.Errorf("%s does not go with %s: %w; run `culvert allocate`", path, c.String(fleetFlag.Name), err)
	}
	return fleet, lock, nil
}

// hostName is the host to be: as told, or the machine's name without its domain.
func hostName(c *cli.Context) (string, error) {
	if name := c.String(hostFlag.Name); name != "" {
		return name, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find this machine's hostname (or name a host with --host): %w", err)
	}
	short, _, _ := strings.Cut(name, ".")
	return short, nil
}

// jsonWanted reads -o.
func jsonWanted(c *cli.Context) (bool, error) {
	switch o := c.String(outputFlag.Name); o {
	case "text", "":
		return false, nil
	case "json":
		return true, nil
	default:
		return false, inputError{fmt.Errorf("output %q: want text or json", o)}
	}
}

// wellFormed refuses what a command would ignore or not understand, before it does anything.
func wellFormed(c *cli.Context) error {
	if _, err := jsonWanted(c); err != nil {
		return err
	}
	if c.Args().Present() {
		return inputError{fmt.Errorf("%s takes no argument %q; see culvert %s --help", c.Command.Name, c.Args().First(), c.Command.Name)}
	}
	return nil
}
