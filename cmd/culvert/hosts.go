package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/source/etcd"
)

// fleetStatus prints how all hosts of the fleet in etcd are.
func fleetStatus(c *cli.Context) error {
	return withStore(c, func(s *etcd.Store) error {
		fleet, err := readStored(c, s)
		if err != nil {
			return err
		}
		hosts, err := s.Hosts(c.Context, fleet)
		if err != nil {
			return err
		}
		asJSON, err := jsonWanted(c)
		if err != nil {
			return err
		}
		list := fleetHosts(fleet, hosts)
		if asJSON {
			err = printJSON(c.App.Writer, struct {
				Generation int64       `json:"generation"`
				Hosts      []fleetHost `json:"hosts"`
			}{fleet.Revision, list})
		} else {
			err = printHosts(c.App.Writer, fleet.Revision, list, time.Now())
		}
		for _, h := range list {
			if err == nil && h.State != "converged" && h.State != string(config.Down) {
				err = exitStatus(statusFailure)
			}
		}
		return err
	})
}

// fleetHost is a host as it is seen from afar.
type fleetHost struct {
	etcd.HostStatus
	// State is one word for how it is.
	State string `json:"state"`
}

func fleetHosts(fleet *etcd.Fleet, hosts []etcd.HostStatus) []fleetHost {
	declared := make(map[string]config.HostState, len(fleet.Fleet.Hosts))
	for _, h := range fleet.Fleet.Hosts {
		declared[h.Name] = h.State
	}
	out := make([]fleetHost, 0, len(hosts))
	for _, h := range hosts {
		out = append(out, fleetHost{h, hostState(h, declared, fleet.Revision)})
	}
	return out
}

// hostState says the worst first: what the others are worth on a host that is lost, nobody knows.
func hostState(h etcd.HostStatus, declared map[string]config.HostState, revision int64) string {
	state, known := declared[h.Host]
	switch {
	case !known:
		return "stranger" // the fleet does not have it
	case state == config.Down:
		return string(config.Down)
	case !h.Reported && !h.Live:
		return "unseen"
	case !h.Live:
		return string(config.Lost)
	case len(h.Problems) > 0:
		return "failed"
	case etcd.Revision(h.Converged) != revision:
		return "behind"
	default:
		return "converged"
	}
}

func printHosts(out io.Writer, revision int64, hosts []fleetHost, now time.Time) error {
	fmt.Fprintf(out, "generation %d\n\n", revision)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "HOST\tSTATE\tGENERATION\tCONVERGED\tSINCE\tVERSION\n")
	for _, h := range hosts {
		since := "-"
		if !h.Time.IsZero() {
			since = now.Sub(h.Time).Round(time.Second).String() + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", h.Host, h.State, orDash(h.Generation), orDash(h.Converged), since, orDash(h.Version))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, h := range hosts {
		for _, p := range h.Problems {
			if _, err := fmt.Fprintf(out, "\n%s:\n%s\n", h.Host, indent(p)); err != nil {
				return err
			}
		}
	}
	for _, h := range hosts {
		for _, b := range h.Sick {
			_, err := fmt.Fprintf(out, "\nbackend %s on %s: sick, since %s ago:\n%s\n", b.Backend, h.Host, now.Sub(b.Since).Round(time.Second), indent(b.Why))
			if err != nil {
				return err
			}
		}
	}
	return nil
}
