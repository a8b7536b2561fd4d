package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// CanBalance says what this machine's kernel lacks for load balancing, nil if nothing. It makes the kernel load IPVS.
func CanBalance() error { return ipvs.Load() }

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
	return a.unsettled(place, ipvs.Diff(observed, desired)), "", nil
}

// inIPVS runs f with a tenant's namespace.
func (a *Agent) inIPVS(place overlay.Place, f func(*netns.NS) error) error {
	ns, err := a.kernel.NS(place)
	if err != nil {
		return err
	}
	return errors.Join(f(ns), ns.Close())
}

// dueSteps are the steps of a plan, or its end if the time for that has come; then ends is true. IPVS takes no flows that it does not know for
// [ipvs.SettleTime] after its destinations have changed; how long ago that was is nothing that the kernel knows.
func (a *Agent) dueSteps(b Balancing) (steps []ipvs.Step, ends bool) {
	if due, ok := a.settling[b.Place]; ok && len(b.Plan.Steps) == 0 && !time.Now().Before(due) {
		delete(a.settling, b.Place)
		return b.Plan.Later, true
	}
	if b.Plan.Settles() {
		a.settling[b.Place] = time.Now().Add(ipvs.SettleTime)
	}
	return b.Plan.Steps, false
}

// unsettled takes the end off a plan whose time has not come.
func (a *Agent) unsettled(place overlay.Place, plan ipvs.Plan) ipvs.Plan {
	if !plan.Settles() {
		delete(a.settling, place)
	}
	if due, ok := a.settling[place]; ok && len(plan.Steps) == 0 && time.Now().Before(due) {
		plan.Later = nil
	}
	return plan
}

// Announce begins what goes before an Apply for which there is time: where the plan changes a load balancer's destinations, all
// nodes ask each other about flows that they do not know before the first of them has another table. It returns which places
// are to be planned and applied later, and when: [ipvs.HeadsUp] after the announcement, for nodes that are a little late. An
// Apply without is fine where all nodes change at once.
func (a *Agent) Announce(p Plan) (map[overlay.Place]time.Time, error) {
	later := make(map[overlay.Place]time.Time)
	var errs []error
	for _, b := range p.Balancing {
		if b.Plan.Announces() {
			err := a.inIPVS(b.Place, func(ns *netns.NS) error { return ipvs.Announce(ns, b.Plan) })
			if errors.Is(err, netns.ErrNotExist) {
				continue // nobody has sent it a packet yet
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("announce a change of the load balancer of %s: %w", b.Place, err))
				continue
			}
			a.announced[b.Place] = time.Now().Add(ipvs.HeadsUp)
		}
		if due, ok := a.announced[b.Place]; ok && time.Now().Before(due) {
			later[b.Place] = due
		} else {
			delete(a.announced, b.Place)
		}
	}
	return later, errors.Join(errs...)
}

// Prepare announces the plan and waits until all of it may be applied.
func (a *Agent) Prepare(ctx context.Context, p Plan) error {
	later, err := a.Announce(p)
	if err != nil || len(later) == 0 {
		return err
	}
	timer := time.NewTimer(ipvs.HeadsUp)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the load balancer's other nodes: %w; apply again to finish", ctx.Err())
	case <-timer.C:
		return nil
	}
}

// Settling says when load balancers have to be planned and applied again, by place: an Apply has changed their destinations, and
// the nodes have not told each other about their flows yet. Who does not keep the agent so long calls [Agent.Settle].
func (a *Agent) Settling() map[overlay.Place]time.Time { return maps.Clone(a.settling) }

// Settle ends an Apply: where it has changed a load balancer's destinations, it waits until the nodes have told each other about
// their flows ([ipvs.SettleTime]), then lets IPVS take flows that it does not know again. If the context ends first nothing is
// lost: the next plan has the rest.
func (a *Agent) Settle(ctx context.Context, p Plan) error {
	var ends []Balancing
	var due time.Time
	for _, b := range p.Balancing {
		if at, ok := a.settling[b.Place]; ok {
			ends = append(ends, b)
			if at.After(due) {
				due = at
			}
		}
	}
	if len(ends) == 0 {
		return nil
	}
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the load balancer's nodes to agree: %w; apply again to finish", ctx.Err())
	case <-timer.C:
	}
	var failures Failures
	for _, b := range ends {
		delete(a.settling, b.Place)
		failures = append(failures, balanceFailures(b.Place, "settle", a.inIPVS(b.Place, func(ns *netns.NS) error { return ipvs.Settle(ns, b.Plan) }))...)
	}
	if len(failures) > 0 {
		return failures
	}
	return nil
}
