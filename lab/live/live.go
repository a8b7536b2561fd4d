package live

import (
	"context"
	"errors"
	"os"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/script"
	"github.com/culvertnet/culvert/netns"
)

// Patience is how many times as long as elsewhere things may take here: more in an emulated machine, where CULVERT_KERNEL is set.
func Patience() int {
	if os.Getenv("CULVERT_KERNEL") != "" {
		return 5
	}
	return 1
}

// Tools is what scenarios need of the agent.
func Tools() script.Tools {
	return script.Tools{
		Converge: Converge, Cleanup: Cleanup, Changes: Changes, Counters: Counters, Daemon: startDaemon, Patience: Patience(),
	}
}

// CanBalance says what the kernel lacks for load balancing, nil if nothing.
func CanBalance() error { return agent.CanBalance() }

// Converge plans the host and applies the plan.
func Converge(ctx context.Context, site lab.Site) error {
	return with(site, func(a *agent.Agent) error {
		plan, err := plan(a, site)
		if err != nil {
			return err
		}
		err = a.Prepare(ctx, plan)
		if site.Together != nil {
			site.Together()
		}
		return errors.Join(err, a.Apply(plan), a.Settle(ctx, plan))
	})
}

// Cleanup removes from the host all that is ours.
func Cleanup(_ context.Context, site lab.Site) error {
	return with(site, func(a *agent.Agent) error {
		plan, err := a.Cleanup()
		if err != nil {
			return err
		}
		return a.Apply(plan)
	})
}

// Changes plans the host and returns the plan's lines.
func Changes(_ context.Context, site lab.Site) (lines []string, err error) {
	err = with(site, func(a *agent.Agent) error {
		plan, err := plan(a, site)
		lines = plan.Lines()
		return err
	})
	return lines, err
}

func plan(a *agent.Agent, site lab.Site) (agent.Plan, error) {
	host, err := site.Topology()
	if err != nil {
		return agent.Plan{}, err
	}
	return a.PlanHost(host)
}

// Counters reads the packets of a namespace's named counters, by table family and name.
func Counters(ns *netns.NS) (map[string]uint64, error) {
	counters, err := agent.CountersIn(ns)
	out := make(map[string]uint64, len(counters))
	for name, n := range counters {
		out[name] = n.Packets
	}
	return out, err
}

func with(site lab.Site, f func(*agent.Agent) error) error {
	a := agent.Open(site.NS, site.Prefix, site.Host)
	return errors.Join(f(a), a.Close())
}
