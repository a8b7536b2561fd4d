package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

func allocateCommand() *cli.Command {
	return &cli.Command{
		Name:  "allocate",
		Usage: "hand out host ids and port blocks, and write them to the lock file",
		Description: "What has been handed out stays: nothing moves that exists. Keep the lock file with the fleet, and give\n" +
			"both to every host. What does not fit is an error that says what to add; then nothing is written.\n\n" +
			"A claimant that grew onto another address, or shrank, keeps its old blocks as retired: live flows last.\n" +
			"Release them when they have drained.\n\n" +
			"Examples:\n   culvert allocate -f fleet.yaml\n" +
			"   culvert allocate -f fleet.yaml --check         exit with 2 if the lock would change\n" +
			"   culvert allocate -f fleet.yaml --release acme  give up acme's retired blocks",
		Flags: []cli.Flag{
			fleetFlag, lockFlag,
			&cli.BoolFlag{Name: "check", Usage: "write nothing; exit with 2 if something would change"},
			&cli.StringSliceFlag{Name: "release", Usage: "give up the retired blocks of the tenant `NAME`; may be repeated"},
		},
		Before: wellFormed,
		Action: func(c *cli.Context) error {
			fleet, err := loadFleet(c)
			if err != nil {
				return err
			}
			path := lockPath(c)
			old, err := portmap.ReadFile(path)
			if err != nil {
				return inputError{err}
			}
			lock, err := allocate(old, nil, fleet, c.StringSlice("release"), nil)
			if err != nil {
				return err
			}
			changed, err := printLockChanges(c.App.Writer, old, lock)
			if err != nil || !changed {
				return err
			}
			if c.Bool("check") {
				return exitStatus(statusChanges)
			}
			if err := portmap.WriteFile(path, lock); err != nil {
				return fmt.Errorf("nothing was written, the old lock is as it was: %w", err)
			}
			return nil
		},
	}
}

// allocate computes the next lock and proves it. What was given up before, and is settled, it hands out again; nil stands for all of
// it, for whoever changes files has applied the last change everywhere. If that is all that there is to do, the lock stays as it is. before
// is the fleet that is replaced, nil where nobody knows it.
func allocate(old *portmap.Lock, before, fleet *config.Fleet, release []string, settled func(portmap.Freed) bool) (*portmap.Lock, error) {
	base, err := portmap.Release(portmap.Settle(old, settled), release...)
	if err != nil {
		return nil, inputError{err}
	}
	base, vacated := portmap.Vacate(base, before, fleet)
	lock, err := portmap.Allocate(base, fleet)
	if err != nil {
		return nil, inputError{err}
	}
	if portmap.Same(old, lock) && !vacated && portmap.Prove(old, fleet) == nil {
		lock = old
	}
	if err := portmap.Prove(lock, fleet); err != nil {
		return nil, inputError{fmt.Errorf("nothing was written: the old lock contradicts itself; restore it from where the fleet is kept:\n%w", err)}
	}
	return lock, nil
}

// printLockChanges prints the lines that the lock file loses and gains.
func printLockChanges(w io.Writer, old, lock *portmap.Lock) (bool, error) {
	was, err := portmap.Encode(old)
	if err != nil {
		return false, err
	}
	is, err := portmap.Encode(lock)
	if err != nil {
		return false, err
	}
	if bytes.Equal(was, is) {
		_, err := fmt.Fprintln(w, "nothing to hand out: the lock is up to date")
		return false, err
	}
	before, after := handedOut(old), handedOut(lock)
	if err := printMissing(w, "-", before, after); err != nil {
		return true, err
	}
	return true, printMissing(w, "+", after, before)
}

// printMissing prints the lines that are not among the others. Both are sorted.
func printMissing(w io.Writer, sign string, lines, others []string) error {
	for _, l := range lines {
		if _, found := slices.BinarySearch(others, l); found {
			continue
		}
		if _, err := fmt.Fprintln(w, sign, l); err != nil {
			return err
		}
	}
	return nil
}

// handedOut lists what a lock hands out, a line each, sorted.
func handedOut(l *portmap.Lock) []string {
	var out []string
	for name, id := range l.Hosts {
		out = append(out, fmt.Sprintf("host %s: id %d", name, id))
	}
	for name, t := range l.Tenants {
		for _, c := range t.Claims {
			for _, b := range c.Blocks {
				out = append(out, fmt.Sprintf("tenant %s: %s: %s", name, c.Claimant, b))
			}
			for _, b := range c.Retired {
				out = append(out, fmt.Sprintf("tenant %s: %s: %s, retired", name, c.Claimant, b))
			}
		}
		for _, f := range t.Freed {
			out = append(out, fmt.Sprintf("tenant %s: %s: %s, given up", name, f.Claimant, f.Block))
		}
		for backend, n := range t.Backends {
			out = append(out, fmt.Sprintf("tenant %s: backend %s: number %d", name, backend, n))
		}
	}
	slices.Sort(out)
	return out
}
