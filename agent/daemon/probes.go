package daemon

import (
	"context"
	"sync"

	"github.com/culvertnet/culvert/health"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// probe is a health check to be made, and the verdict that it begins with.
type probe struct {
	health.Check
	// number tells this check from an earlier one of the same backend, or one that began with another verdict.
	number int
	sick   bool
}

// verdict is what a health check has come to.
type verdict struct {
	probe   probe
	healthy bool
	// why is what the probe met that decided it; nil if the backend is healthy.
	why error
}

// probesTask makes the health checks of the backends that run here, and queues what they come to. It knows of the fleet what the
// keeper wants it to check.
type probesTask struct {
	prefix string
	queue  *queue
	ready  chan struct{} // has a value if wanted is news

	mu     sync.Mutex
	wanted map[topology.BackendID]probe
}

func newProbesTask(prefix string, q *queue) *probesTask {
	return &probesTask{prefix: prefix, queue: q, ready: make(chan struct{}, 1)}
}

func (t *probesTask) String() string { return "health checks" }

// want replaces the checks to be made. One that is made already goes on.
func (t *probesTask) want(probes map[topology.BackendID]probe) {
	t.mu.Lock()
	t.wanted = probes
	t.mu.Unlock()
	select {
	case t.ready <- struct{}{}:
	default: // there is news already
	}
}

func (t *probesTask) take() map[topology.BackendID]probe {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wanted
}

// watched is a check that is being made.
type watched struct {
	number int
	stop   context.CancelFunc
}

func (t *probesTask) Run(ctx context.Context) error {
	running := make(map[topology.BackendID]watched)
	var done sync.WaitGroup
	defer done.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.ready:
		}
		wanted := t.take()
		for id, w := range running {
			if p, ok := wanted[id]; !ok || p.number != w.number {
				w.stop()
				delete(running, id)
			}
		}
		for id, p := range wanted {
			if _, ok := running[id]; !ok {
				ctx, stop := context.WithCancel(ctx)
				running[id] = watched{p.number, stop}
				done.Go(func() { t.watch(ctx, p) })
			}
		}
	}
}

// watch makes one check. The namespace is opened for each probe: it may be made anew, or not be there yet.
func (t *probesTask) watch(ctx context.Context, p probe) {
	open := func() (*netns.NS, error) {
		return netns.Open(t.prefix + topology.NamespacePrefix + p.Backend.Tenant)
	}
	health.Watch(ctx, open, p.Target, !p.sick, func(healthy bool, why error) {
		t.queue.judge(verdict{p, healthy, why})
	})
}
