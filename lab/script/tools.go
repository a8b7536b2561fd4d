package script

import (
	"context"

	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/source"
)

// Tools is what scenarios need from rooms that a lab does not know. A command whose tool is nil says so and ends the scenario.
type Tools struct {
	// Converge is the hosts' agent.
	Converge lab.Converge
	// Cleanup removes from a host all that the agent made.
	Cleanup lab.Converge
	// Changes plans a host and returns the changes, a line each, none if the host is as it should be.
	Changes func(ctx context.Context, site lab.Site) ([]string, error)
	// Counters reads the packets of a namespace's named counters.
	Counters func(ns *netns.NS) (map[string]uint64, error)
	// Daemon starts a host's daemon, which waits for the first fleet. The site is valid during the call. The daemon calls publish with
	// the backends of its host that fail their health checks, whenever they change.
	Daemon func(site lab.Site, publish func([]source.Sick)) (Daemon, error)
	// Patience stretches all times of a scenario on a slow machine; 0 and 1 leave them as they are.
	Patience int
}
