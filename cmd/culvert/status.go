package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/agent/daemon"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "say how this host's daemon is, or how all hosts of a fleet in etcd are",
		Description: "Prints the fleet that is in force, each tenant's state, what was repaired and what is wrong. Exits with 0 if all is\n" +
			"well, devices that are waited for included, and with 1 if not.\n\n" +
			"Examples:\n   culvert status\n   culvert status -o json\n   culvert status --source etcd://etcd1:2379/culvert --fleet",
		Flags: append([]cli.Flag{
			socketFlag, outputFlag, sourceFlag, &cli.BoolFlag{Name: "fleet", Usage: "say how all hosts are, by what they report to etcd"},
		}, etcdFlags...),
		Before: wellFormed,
		Action: func(c *cli.Context) error {
			if c.Bool("fleet") {
				return fleetStatus(c)
			}
			s, err := daemon.Ask(c.Context, c.String(socketFlag.Name))
			if err != nil {
				return err
			}
			asJSON, err := jsonWanted(c)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c.App.Writer, s)
			} else {
				err = printStatus(c.App.Writer, s, time.Now())
			}
			if err == nil && !s.Healthy() {
				return exitStatus(statusFailure)
			}
			return err
		},
	}
}

// printStatus prints the host, a table of its tenants, and what deserves attention.
func printStatus(out io.Writer, s daemon.Status, now time.Time) error {
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return now.Sub(t).Round(time.Second).String() + " ago"
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "host\t%s\n", s.Host)
	fmt.Fprintf(w, "fleet\t%s, generation %s\n", s.Source, orDash(s.Generation))
	if c := s.Converged; c != nil {
		fmt.Fprintf(w, "converged\t%s, to generation %s in %s\n", ago(c.At), c.Generation, c.Took.Round(time.Millisecond))
	} else {
		fmt.Fprintf(w, "converged\tnot yet\n")
	}
	fmt.Fprintf(w, "changes\t%d, to undo what others did: %d\n", s.Changes, s.Drift)
	if len(s.Tenants) > 0 {
		fmt.Fprintf(w, "\nTENANT\tSTATE\tGENERATION\tLOOKED\tCHANGED\tDRIFT\n")
	}
	for _, t := range s.Tenants {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\n", t.Name, t.State, orDash(t.Generation), ago(t.Looked), ago(t.Changed), t.Drift)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, line := range attention(s, ago) {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// attention lists what the table has no room for: errors, what is waited for, what was repaired.
func attention(s daemon.Status, ago func(time.Time) string) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, "", fmt.Sprintf(format, args...)) }
	if s.Refused != nil {
		say("a newer fleet is refused, since %s:\n%s", ago(s.Refused.Since), indent(s.Refused.Error))
	}
	if s.Away != nil {
		say("the fleet's source is away, since %s:\n%s", ago(s.Away.Since), indent(s.Away.Error))
	}
	if s.Unkept != nil {
		say("a start without the fleet's source would go back behind the fleet in force, since %s:\n%s", ago(s.Unkept.Since), indent(s.Unkept.Error))
	}
	if s.Error != nil {
		say("the host fails, since %s:\n%s", ago(s.Error.Since), indent(s.Error.Error))
	}
	repaired := func(who string, r *daemon.Repair) {
		if r != nil {
			say("%s: repaired %s:\n%s", who, ago(r.At), indent(strings.Join(r.Changes, "\n")))
		}
	}
	repaired("host", s.HostDrift)
	for _, t := range s.Tenants {
		if t.Error != nil {
			say("%s: fails, since %s:\n%s", t.Name, ago(t.Error.Since), indent(t.Error.Error))
		}
		if len(t.Waiting) > 0 {
			say("%s: waiting for %s", t.Name, strings.Join(t.Waiting, ", "))
		}
		repaired(t.Name, t.Repaired)
	}
	for _, b := range s.Sick {
		counts := ""
		if !b.Counts {
			counts = ", gets new flows all the same"
		}
		say("backend %s on %s: sick, since %s%s:\n%s", b.Backend, b.Host, ago(b.Since), counts, indent(b.Why))
	}
	for _, n := range s.Notes {
		say("note: %s", n)
	}
	return out
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
