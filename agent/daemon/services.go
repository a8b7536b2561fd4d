package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
	"github.com/culvertnet/culvert/trigger"
)

// servicesEvery is how often the IPVS services of tenants with load balancers are compared with what they were.
const servicesEvery = 500 * time.Millisecond

// servicesTask tells of IPVS services that change: the kernel does not.
type servicesTask struct {
	prefix string
	queue  *queue
	log    *slog.Logger
	// balanced are the names of the tenants that have such services here.
	balanced *atomic.Pointer[[]string]
}

func (t servicesTask) String() string { return "IPVS services" }

func (t servicesTask) Run(ctx context.Context) error {
	services, told := trigger.NewServiceDigests(), false
	tick := time.NewTicker(servicesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		names := t.balanced.Load()
		if names == nil {
			continue
		}
		for _, name := range *names {
			changed, err := t.changed(services, t.prefix+topology.NamespacePrefix+name)
			if err != nil && !told {
				told = true
				t.log.Warn("changes by others may be noticed by the slow check only", "tenant", name, "err", err)
			}
			if changed {
				t.queue.tell(trigger.Event{Kind: trigger.Services, Space: trigger.Host, Name: t.prefix + topology.NamespacePrefix + name})
			}
		}
	}
}

func (t servicesTask) changed(services *trigger.ServiceDigests, name string) (bool, error) {
	ns, err := netns.Open(name)
	if errors.Is(err, netns.ErrNotExist) {
		return false, nil // its file's end is told
	}
	if err != nil {
		return false, err
	}
	changed, err := services.Changed(ns)
	return changed, errors.Join(err, ns.Close())
}
