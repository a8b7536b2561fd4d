package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

func pushCommand() *cli.Command {
	return &cli.Command{
		Name:      "push",
		Usage:     "put the fleet into etcd, hand out what is new, and show what changes",
		ArgsUsage: "[FILE]",
		Description: "The lock is in etcd, beside the fleet: both change in one step, and nothing changes if somebody else was faster; then\n" +
			"it starts again from theirs. Every host that follows this etcd takes the fleet over as soon as it is pushed. Where NAT\n" +
			"gateways grow, that is two rounds: first all hosts get to know whose the new ports are, then they are used.\n\n" +
			"Examples:\n   culvert push --source etcd://etcd1:2379/culvert fleet.yaml\n" +
			"   culvert push --check fleet.yaml               show what would change, exit with 2 if something would\n" +
			"   culvert push --lock fleet.lock.yaml fleet.yaml  the first time: take over what was handed out so far\n" +
			"   culvert push --expect 1042 fleet.yaml         only if generation 1042 is there\n" +
			"   culvert push --release acme fleet.yaml        give up acme's retired blocks",
		Flags: append([]cli.Flag{
			fleetFlag, sourceFlag,
			&cli.BoolFlag{Name: "check", Usage: "write nothing; exit with 2 if something would change"},
			&cli.StringFlag{Name: "lock", Usage: "begin with what `FILE` has handed out, if etcd has no fleet yet"},
			&cli.Int64Flag{Name: "expect", Usage: "replace generation `NUMBER` and no other"},
			&cli.BoolFlag{Name: "at-once", Usage: "let hosts use new ports before all hosts know of them"},
			&cli.DurationFlag{Name: "wait", Value: time.Minute, Usage: "wait `TIME` for hosts to get to know of new ports"},
			&cli.StringSliceFlag{Name: "fenced", Usage: "the uplink of the edge `HOST` is cut: what it had goes to others when it is down or removed; may be repeated"},
			&cli.StringSliceFlag{Name: "release", Usage: "give up the retired blocks of the tenant `NAME`; may be repeated"},
		}, etcdFlags...),
		Before: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return inputError{fmt.Errorf("%s takes one file, and flags before it; see %s --help", c.Command.HelpName, c.Command.HelpName)}
			}
			return nil
		},
		Action: func(c *cli.Context) error {
			path := c.String(fleetFlag.Name)
			if c.NArg() == 1 {
				path = c.Args().First()
			}
			fleet, err := source.ReadFleet(path)
			if err != nil {
				return inputError{err}
			}
			return withStore(c, func(s *etcd.Store) error { return push(c, s, fleet) })
		},
	}
}

// push replaces the fleet, as often as somebody else is faster.
func push(c *cli.Context, s *etcd.Store, fleet *config.Fleet) error {
	w := c.App.Writer
	for {
		old, err := s.Read(c.Context)
		if err != nil {
			return err
		}
		lock, err := nextLock(c, s, old, fleet)
		if err != nil {
			return err
		}
		changed, err := printPush(w, old, fleet, lock)
		if err != nil {
			return err
		}
		if !changed {
			_, err := fmt.Fprintf(w, "nothing to push: generation %d is this fleet\n", old.Revision)
			return err
		}
		if c.Bool("check") {
			return exitStatus(statusChanges)
		}
		revision, err := carryOut(c, s, old, fleet, lock)
		if errors.Is(err, etcd.ErrChanged) {
			fmt.Fprintln(c.App.ErrWriter, "culvert: somebody else has pushed in the meantime; starting again from their fleet")
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "pushed: generation %d\n", revision)
		if err := s.Sweep(c.Context); err != nil {
			return fmt.Errorf("the fleet is pushed, but what it replaced is still there; the next push tries again: %w", err)
		}
		return nil
	}
}

// nextLock hands out what the fleet needs beyond what etcd's lock has.
func nextLock(c *cli.Context, s *etcd.Store, old *etcd.Fleet, fleet *config.Fleet) (*portmap.Lock, error) {
	if expect := c.Int64("expect"); c.IsSet("expect") && old.Revision != expect {
		return nil, fmt.Errorf("etcd holds generation %d, not %d; look at what has changed (culvert pull) and push again", old.Revision, expect)
	}
	base := old.Lock
	if path := c.String("lock"); path != "" {
		if old.Revision != 0 {
			return nil, inputError{fmt.Errorf("etcd has a lock of its own since generation %d; push without --lock", old.Revision)}
		}
		// A file that is not there would be a new lock to ReadFile, and everybody's ports another.
		if _, err := os.Stat(path); err != nil {
			return nil, inputError{fmt.Errorf("read the lock: %w; name the lock of the fleet in force, or leave out --lock if no host has one", err)}
		}
		var err error
		if base, err = portmap.ReadFile(path); err != nil {
			return nil, inputError{err}
		}
	}
	return allocateSettled(c, s, old, base, fleet)
}

// printPush prints what a push changes, and reports whether that is anything.
func printPush(w io.Writer, old *etcd.Fleet, fleet *config.Fleet, lock *portmap.Lock) (bool, error) {
	changes, changed, err := old.Changes(fleet, lock)
	if err != nil || !changed {
		return changed, err
	}
	for _, c := range changes {
		if _, err := io.WriteString(w, changeText(c)); err != nil {
			return true, err
		}
	}
	if len(changes) == 0 && old.Revision > 0 {
		fmt.Fprintln(w, "~ what is handed out, or the order of hosts and tenants")
	}
	before, after := handedOut(old.Lock), handedOut(lock)
	return true, errors.Join(printMissing(w, "-", before, after), printMissing(w, "+", after, before))
}

// changeText is a line for an object that comes or goes, and the lines that differ of one that stays.
func changeText(c etcd.Change) string {
	switch {
	case c.Old == nil:
		return fmt.Sprintf("+ %s\n", c.Object)
	case c.New == nil:
		return fmt.Sprintf("- %s\n", c.Object)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "~ %s\n", c.Object)
	for line := range bytes.Lines(diff.Diff("old", c.Old, "new", c.New)) {
		if l := string(line); !strings.HasPrefix(l, "diff ") && !strings.HasPrefix(l, "---") && !strings.HasPrefix(l, "+++") && !strings.HasPrefix(l, "@@") {
			b.WriteString("    " + l)
		}
	}
	return b.String()
}
