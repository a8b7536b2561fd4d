package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
)

// Apply carries a plan out; [Agent.Settle] follows. What is for one tenant does not stop for another's failure; a tenant whose
// overlay, rules or load balancer failed gets no traffic attached. Without its guard a host changes nothing. The error is nil or
// [Failures].
func (a *Agent) Apply(p Plan) error {
	if failures := a.Try(p, nil).Failures; len(failures) > 0 {
		return failures
	}
	return nil
}

// Attempt is what came of a plan.
type Attempt struct {
	// Done are the changes that were made, in their order.
	Done []Change
	// Attached are the places to which VMs' devices came.
	Attached []overlay.Place
	// Failures are the objects that could not be made, those that were held among them.
	Failures Failures
	// Blocked are objects that were not tried, as others that come before them at their place have failed.
	Blocked []Object
}

// Try is Apply for who comes back: objects that are held are not tried, and fail with the error given. Everything else goes as it would if
// they had failed once more.
func (a *Agent) Try(p Plan, held map[Object]error) Attempt {
	r := run{agent: a, held: held, failed: make(map[overlay.Place]bool), lost: make(map[overlay.Device]bool)}
	if !p.unguarded && !r.rules(Rules{overlay.HostPlace, p.Guard}) {
		return r.Attempt
	}
	r.steps(p.Overlay.Detach())
	r.steps(p.Overlay.Prepare())
	for _, rules := range p.Rules {
		a.progress()
		r.rules(rules)
	}
	for _, b := range p.Balancing {
		r.balance(b)
	}
	r.steps(p.Overlay.Attach())
	r.steps(p.Overlay.Release())
	if p.unguarded {
		r.rules(Rules{overlay.HostPlace, p.Guard})
	}
	return r.Attempt
}

// run is one attempt under way.
type run struct {
	agent *Agent
	held  map[Object]error
	// failed are the places where something has, lost are devices that are not as they should be.
	failed map[overlay.Place]bool
	lost   map[overlay.Device]bool
	Attempt
}

func (r *run) fail(o Object, err error) {
	r.Failures = append(r.Failures, Failure{o, err})
	if o.Place != overlay.HostPlace {
		r.failed[o.Place] = true
	}
}

// due are the steps that are not held, and the errors of those that are.
func due[S any](r *run, steps []S, object func(S) Object) ([]S, map[Object]error) {
	failed := make(map[Object]error)
	if len(r.held) == 0 {
		return steps, failed
	}
	return slices.DeleteFunc(slices.Clone(steps), func(s S) bool {
		o := object(s)
		err, held := r.held[o]
		if held {
			failed[o] = err
		}
		return held
	}), failed
}

// enter writes down what came of steps, in their order, whichever of them have been tried: an error says the same each time.
func enter[S any](r *run, steps []S, failed map[Object]error, object func(S) Object, change func(S) Change) {
	told := make(map[Object]bool)
	for _, s := range steps {
		if len(failed) == 0 {
			r.Done = append(r.Done, change(s))
			continue
		}
		o := object(s)
		switch err, no := failed[o]; {
		case !no:
			r.Done = append(r.Done, change(s))
		case !told[o]:
			r.fail(o, err)
			told[o] = true
		}
	}
}

func (r *run) steps(steps []overlay.Step) {
	steps = slices.DeleteFunc(steps, func(s overlay.Step) bool {
		blocked := s.Verb != overlay.Remove && r.failed[s.Place]
		if blocked {
			r.Blocked = append(r.Blocked, overlayObject(s))
		}
		return blocked
	})
	// Links come first in every phase. Without one, or with one that is not as it should be, what is on it is not tried.
	links := 0
	for i, s := range steps {
		if len(s.Makes()) > 0 {
			links = i + 1
		}
	}
	r.take(steps[:links])
	r.take(slices.DeleteFunc(slices.Clone(steps[links:]), func(s overlay.Step) bool {
		blocked := s.Verb != overlay.Remove && r.lost[s.On()]
		if blocked {
			r.Blocked = append(r.Blocked, overlayObject(s))
		}
		return blocked
	}))
}

// take carries steps out that nothing stands in the way of.
func (r *run) take(steps []overlay.Step) {
	now, failed := due(r, steps, overlayObject)
	for _, f := range r.agent.kernel.Apply(now) {
		failed[overlayObject(f.Step)] = f
	}
	if len(failed) > 0 {
		for _, s := range steps {
			if _, no := failed[overlayObject(s)]; no && s.Verb != overlay.Remove {
				for _, d := range s.Makes() {
					r.lost[d] = true
				}
			}
		}
	}
	for _, s := range now {
		switch o := s.Object.(type) {
		case overlay.Namespace:
			if s.Verb == overlay.Remove {
				r.agent.forget(overlay.Place(o.Name))
			}
		case overlay.Port:
			if _, no := failed[overlayObject(s)]; !no && s.Verb == overlay.Add {
				r.Attached = append(r.Attached, s.Place)
			}
		}
	}
	enter(r, steps, failed, overlayObject, overlayChange)
}

// rules changes the rules of a place, and reports whether they are as they should be.
func (r *run) rules(rules Rules) bool {
	o := rulesObject(rules.Place)
	switch err, held := r.held[o]; {
	case rules.Plan.Empty():
		return true
	case r.failed[o.Place]:
		r.Blocked = append(r.Blocked, o)
		return false
	case held:
		r.fail(o, err)
		return false
	}
	if err := r.agent.dial(rules.Place, func(conn *nft.Conn) error { return conn.Apply(rules.Plan) }); err != nil {
		r.fail(o, fmt.Errorf("change the rules of %s: %w", placeName(rules.Place), err))
		return false
	}
	r.Done = append(r.Done, rulesChanges(rules.Place, rules.Plan)...)
	return true
}

// balance changes the IPVS of a place, or ends a change.
func (r *run) balance(b Balancing) {
	object := func(s ipvs.Step) Object { return balanceObject(b.Place, s) }
	if r.failed[b.Place] {
		for _, s := range b.Plan.Steps {
			r.Blocked = append(r.Blocked, object(s))
		}
		return
	}
	steps, ends := r.agent.dueSteps(b)
	defer func() {
		if ends && r.failed[b.Place] {
			r.agent.settling[b.Place] = time.Now() // it is still due
		}
	}()
	now, failed := due(r, steps, object)
	err := r.agent.inIPVS(b.Place, func(ns *netns.NS) error { return ipvs.Apply(ns, ipvs.Plan{Steps: now}) })
	for _, f := range balanceFailures(b.Place, "change", err) {
		if f.Kind == "" {
			r.fail(f.Object, f.Err)
			for _, s := range steps {
				r.Blocked = append(r.Blocked, object(s))
			}
			return
		}
		failed[f.Object] = f.Err
	}
	enter(r, steps, failed, object, func(s ipvs.Step) Change { return signedChange(b.Place, BalanceChange, s.String()) })
}
