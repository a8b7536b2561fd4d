package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/culvertnet/culvert/tests/events"
	"github.com/culvertnet/culvert/tests/vm/machine"
	"github.com/culvertnet/culvert/tests/vm/wire"
)

// guest is a running machine as the rest of the program sees it.
type guest interface {
	Read() (wire.Frame, error)
	Console() string
	Close() error
}

var _ guest = (*machine.Run)(nil)

// runTests follows the guest through the packages' tests, in the order of
// packages, and emits their events. A guest that dies fails the package that it
// was in and those after it.
func runTests(ctx context.Context, g guest, converterPath string, packages []testPackage, emit func(events.Event), file func(wire.Frame) error) error {
	var current *converter
	next := 0
	for {
		frame, err := g.Read()
		if err != nil {
			err = died(ctx, g, err)
			if current != nil {
				err = errors.Join(err, current.end(err.Error()))
			}
			for _, p := range packages[next:] {
				failAtOnce(p.importPath, "not run: the guest died before\n", emit)
			}
			return err
		}
		switch frame.Kind {
		case wire.Start:
			next = frame.Unit + 1
			if current, err = convert(converterPath, packages[frame.Unit].importPath, emit); err != nil {
				return err
			}
		case wire.Output:
			if _, err := current.Write(frame.Data); err != nil {
				return err
			}
		case wire.Exit:
			err := current.end(frame.Text)
			current = nil
			if err != nil {
				return err
			}
		case wire.File:
			if err := file(frame); err != nil {
				return err
			}
		case wire.Done:
			if next != len(packages) {
				return fmt.Errorf("the guest ran %d of %d packages", next, len(packages))
			}
			return nil
		default:
			return fmt.Errorf("unexpected frame %s: %s", frame.Kind, frame.Text)
		}
	}
}

// runCommand follows the guest through one command and returns its exit status.
func runCommand(ctx context.Context, g guest, stdout, stderr io.Writer) (int, error) {
	status := -1
	for {
		frame, err := g.Read()
		if err != nil {
			return 1, died(ctx, g, err)
		}
		switch frame.Kind {
		case wire.Output:
			w := stdout
			if frame.Stderr {
				w = stderr
			}
			if _, err := w.Write(frame.Data); err != nil {
				return 1, fmt.Errorf("pass on output: %w", err)
			}
		case wire.Exit:
			status = frame.Status
			if status >= 126 { // not the command's own word
				fmt.Fprintln(stderr, frame.Text)
			}
		case wire.Done:
			if status < 0 {
				return 1, errors.New("the guest did not run the command")
			}
			return status, nil
		case wire.Fatal:
			return 1, &machine.FatalError{Text: frame.Text}
		}
	}
}

// died adds what is known of a guest's end.
func died(ctx context.Context, g guest, err error) error {
	if ctx.Err() != nil {
		err = fmt.Errorf("ended by the time limit of the whole run (-timeout): %w", ctx.Err())
	}
	return fmt.Errorf("%w\nlast kernel messages:\n%s", err, g.Console())
}

// writeBack writes a file that a test has changed into the work tree.
func writeBack(root string) func(wire.Frame) error {
	return func(frame wire.Frame) error {
		if !filepath.IsLocal(frame.Path) {
			return fmt.Errorf("the guest names a file outside the work tree: %s", frame.Path)
		}
		path := filepath.Join(root, frame.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, frame.Data, 0o644); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "vm: updated", frame.Path)
		return nil
	}
}

// testUnits returns the guest's part of the packages.
func testUnits(packages []testPackage, opts options) ([]wire.Unit, map[string]string) {
	var units []wire.Unit
	files := make(map[string]string)
	for _, p := range packages {
		binary := guestTests + "/" + filepath.Base(p.binary)
		files[binary] = p.binary
		argv := []string{binary, "-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + opts.testTimeout.String()}
		if run := cmp.Or(opts.run, p.run); run != "" {
			argv = append(argv, "-test.run="+run)
		}
		if opts.update {
			argv = append(argv, "-update")
		}
		units = append(units, wire.Unit{Name: p.importPath, Dir: filepath.Join(guestSources, p.dir), Argv: argv})
	}
	return units, files
}

// watch prints events for people: with verbose all output as it comes, without
// it one line for every package that ended.
func watch(w io.Writer, verbose bool) func(events.Event) {
	return func(e events.Event) {
		switch {
		case e.Action == events.Output && verbose:
			fmt.Fprint(w, e.Output)
		case e.Test == "" && e.Ended() && !verbose:
			fmt.Fprintf(w, "%-4s %s %.2fs\n", strings.ToUpper(e.Action), e.Package, e.Elapsed)
		}
	}
}

// since returns the time since start, short.
func since(start time.Time) time.Duration {
	return time.Since(start).Round(10 * time.Millisecond)
}
