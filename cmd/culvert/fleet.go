package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
)

// Flags that several commands share.
var (
	fleetFlag = &cli.StringFlag{
		Name: "fleet", Aliases: []string{"f"}, Value: "fleet.yaml", EnvVars: []string{"CULVERT_FLEET"},
		Usage: "read the fleet from `FILE`",
	}
	lockFlag = &cli.StringFlag{
		Name: "lock", EnvVars: []string{"CULVERT_LOCK"},
		Usage: "read what has been handed out from `FILE` (default: beside the fleet, with .lock before its ending)",
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
	if err := oneSource(c); err != nil {
		return nil, nil, err
	}
	if fromEtcd(c) {
		return loadStored(c)
	}
	s, err := source.Read(c.String(fleetFlag.Name), lockPath(c))
	if err != nil {
		return nil, nil, inputError{err}
	}
	return s.Fleet, s.Lock, nil
}

// loadFleet reads the fleet.
func loadFleet(c *cli.Context) (*config.Fleet, error) {
	fleet, err := source.ReadFleet(c.String(fleetFlag.Name))
	if err != nil {
		return nil, inputError{err}
	}
	return fleet, nil
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

// printJSON prints a value for programs.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// wellFormed refuses what a command would ignore or not understand, before it does anything.
func wellFormed(c *cli.Context) error {
	if _, err := jsonWanted(c); err != nil {
		return err
	}
	if c.Args().Present() {
		return inputError{fmt.Errorf("%s takes no argument %q; see %s --help", c.Command.HelpName, c.Args().First(), c.Command.HelpName)}
	}
	return nil
}

// needRoot says so before anything else fails for the lack of it.
func needRoot(*cli.Context) error {
	if unix.Geteuid() != 0 {
		return errors.New("network namespaces and netlink need root; run it with sudo")
	}
	return nil
}

func wellFormedAsRoot(c *cli.Context) error {
	if err := wellFormed(c); err != nil {
		return err
	}
	return needRoot(c)
}
