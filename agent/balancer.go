package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
)

// Balancing is the change of one namespace's IPVS.
type Balancing struct {
	Place overlay.Place
	Plan  ipvs.Plan
}

// balancing plans the IPVS of one tenant. A kernel without it, on a host that shall balance, is worth a note: all the rest
// of the tenant is carried out.
func (a *Agent) balancing(place overlay.Place, t topology.Tenant, links overlay.Plan) (plan ipvs.Plan, note string, err error) {
	desired := ipvs.Desired(t)
	if !desired.Empty() {
		err := ipvs.Load()
		if errors.Is(err, ipvs.ErrNoIPVS) {
			return ipvs.Plan{}, fmt.Sprintf("loadBalancers of tenant %s: %v", t.Name, err), nil
		}
		if err != nil {
			return ipvs.Plan{}, "", err
		}
	}
	ns, err := a.kernel.NS(place)
	if errors.Is(err, netns.ErrNotExist) {
		return ipvs.Diff(ipvs.State{}, desired), "", nil
	}
	if err != nil {
		return ipvs.Plan{}, "", err
	}
	observed, err := ipvs.Observe(ns)
	if err := errors.Join(err, ns.Close()); err != nil {
		return ipvs.Plan{}, "", err
	}
	if links.Renewed(place, t.Device()) {
		observed = ipvs.Forget(observed, t.Device())
	}
	return ipvs.Diff(observed, desired), "", nil
}

func (a *Agent) applyBalancing(b Balancing, apply func(*netns.NS, ipvs.Plan) error) error {
	ns, err := a.kernel.NS(b.Place)
	if err != nil {
		return err
	}
	return errors.Join(apply(ns, b.Plan), ns.Close())
}

// Settles reports whether [Agent.Settle] has to follow [Agent.Apply].
func (p Plan) Settles() bool {
	for _, b := range p.Balancing {
		if b.Plan.Settles() {
			return true
		}
	}
	return false
}

// Settle ends an Apply that has changed a load balancer's destinations: it waits until the nodes have told each other about their
// flows ([ipvs.SettleTime]), then lets IPVS take flows that it does not know again. If the context ends first nothing is lost:
// the next plan has the rest.
func (a *Agent) Settle(ctx context.Context, p Plan) error {
	if !p.Settles() {
		return nil
	}
	timer := time.NewTimer(ipvs.SettleTime)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the load balancer's nodes to agree: %w; apply again to finish", ctx.Err())
	case <-timer.C:
	}
	var failures Failures
	for _, b := range p.Balancing {
		if err := a.applyBalancing(b, ipvs.Settle); err != nil {
			failures = append(failures, Failure{b.Place, fmt.Errorf("settle the load balancer of %s: %w", b.Place, err)})
		}
	}
	if len(failures) > 0 {
		return failures
	}
	return nil
}
