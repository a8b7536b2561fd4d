package main

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source/etcd"
)

func pullCommand() *cli.Command {
	return &cli.Command{
		Name:  "pull",
		Usage: "write the fleet and the lock that are in etcd to files",
		Description: "For a backup, for a look, or to go back to files. Comments are lost: etcd never had them.\n\n" +
			"Example:\n   culvert pull --source etcd://etcd1:2379/culvert -f fleet.yaml",
		Flags: append([]cli.Flag{
			fleetFlag, lockFlag, sourceFlag, &cli.BoolFlag{Name: "force", Usage: "replace files that exist"},
		}, etcdFlags...),
		Before: wellFormed,
		Action: func(c *cli.Context) error {
			return withStore(c, func(s *etcd.Store) error { return pull(c, s) })
		},
	}
}

func pull(c *cli.Context, s *etcd.Store) error {
	now, err := readStored(c, s)
	if err != nil {
		return err
	}
	path, lock := c.String(fleetFlag.Name), lockPath(c)
	for _, p := range []string{path, lock} {
		if _, err := os.Lstat(p); err == nil && !c.Bool("force") {
			return inputError{fmt.Errorf("%s exists; name another file, or give --force", p)}
		}
	}
	text, err := now.Fleet.Encode()
	if err != nil {
		return err
	}
	if err := portmap.WriteFile(lock, now.Lock); err != nil {
		return err
	}
	if err := portmap.ReplaceFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write the fleet %s: %w", path, err)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s and %s are generation %d\n", path, lock, now.Revision)
	return err
}
