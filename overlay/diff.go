package overlay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/topology"
)

// Verb says what a step does to its object.
type Verb string

// The verbs.
const (
	Add    Verb = "add"
	Change Verb = "change"
	Remove Verb = "remove"
)

// Step is one change at one place.
type Step struct {
	Verb   Verb
	Place  Place
	Object Object
	// Old is what a change replaces.
	Old Object
}

// String prints the step on one line.
func (s Step) String() string {
	where := ""
	if s.Place != HostPlace {
		where = string(s.Place) + ": "
	}
	return map[Verb]string{Add: "+ ", Change: "~ ", Remove: "- "}[s.Verb] + where + s.Text()
}

// Text is the step without verb and place: the object, and what it replaces.
func (s Step) Text() string {
	if s.Verb == Change {
		return fmt.Sprintf("%s (was: %s)", s.Object, s.Old)
	}
	return s.Object.String()
}

// Waiting is a device that is not there (yet): what depends on it is left out of the plan.
type Waiting struct {
	Place  Place
	Device string
}

// String prints the place and the device.
func (w Waiting) String() string {
	if w.Place == HostPlace {
		return "waiting for device " + w.Device
	}
	return fmt.Sprintf("%s: waiting for device %s", w.Place, w.Device)
}

// Plan is the way from the observed to the desired state, in the order of its steps.
type Plan struct {
	Steps   []Step
	Waiting []Waiting
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// String prints a line for each step, then a line for each device waited for.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintln(&b, s)
	}
	for _, w := range p.Waiting {
		fmt.Fprintln(&b, w)
	}
	return b.String()
}

// Detach is the part of the plan that takes traffic away: VM devices and public addresses that leave. It comes first.
func (p Plan) Detach() []Step {
	return p.filter(func(s Step) bool { return s.Verb == Remove && s.Object.stage() > stageRules })
}

// Prepare is the part that the rules stand on.
func (p Plan) Prepare() []Step {
	return p.filter(func(s Step) bool { return s.Verb != Remove && s.Object.stage() < stageRules })
}

// Attach is the part that brings traffic; the rules must be in place.
func (p Plan) Attach() []Step {
	return p.filter(func(s Step) bool { return s.Verb != Remove && s.Object.stage() > stageRules })
}

// Release is the part that removes what nothing uses any more.
func (p Plan) Release() []Step {
	return p.filter(func(s Step) bool { return s.Verb == Remove && s.Object.stage() < stageRules })
}

// Renewed lists the places whose link of the given name is made anew: hooks on it are gone.
func (p Plan) Renewed(place Place, link string) bool {
	for _, s := range p.Steps {
		if v, ok := s.Object.(VXLAN); ok && s.Place == place && v.Name == link {
			return s.Verb == Add || s.Verb == Change && !v.outlives(s.Old)
		}
		if _, ok := s.Object.(Uplink); ok && s.Place == place && link == topology.UplinkDevice && s.Verb != Remove {
			return true
		}
	}
	return false
}

func (p Plan) filter(keep func(Step) bool) []Step {
	var out []Step
	for _, s := range p.Steps {
		if keep(s) {
			out = append(out, s)
		}
	}
	return out
}

// link names a device at a place.
type link struct {
	place  Place
	device string
}

// Diff plans the way from observed to desired.
func Diff(observed Observed, desired State) Plan {
	d := differ{observed: observed, desired: desired, renewed: make(map[link]bool), absent: make(map[link]bool)}
	d.links()
	for place := range d.places() {
		d.place(place)
	}
	slices.SortFunc(d.plan.Steps, compareSteps)
	for l := range d.absent {
		d.plan.Waiting = append(d.plan.Waiting, Waiting{l.place, l.device})
	}
	slices.SortFunc(d.plan.Waiting, func(a, b Waiting) int {
		return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Device, b.Device))
	})
	return d.plan
}

// rank puts removals that take traffic away first, then additions as the stages say, then the other removals from the
// last stage to the first.
func rank(s Step) int {
	const last = int(stageForwarding) + 1
	switch at := int(s.Object.stage()); {
	case s.Verb != Remove:
		return at
	case s.Object.stage() > stageRules:
		return -at
	default:
		return last + int(stageRules) - at
	}
}

type differ struct {
	observed Observed
	desired  State
	plan     Plan
	// renewed devices come into being with this plan: what was on them before is gone.
	renewed map[link]bool
	// absent devices are wanted by something and are nowhere.
	absent map[link]bool
}

func (d *differ) places() map[Place]bool {
	all := make(map[Place]bool, len(d.desired))
	for p := range d.desired {
		all[p] = true
	}
	for p := range d.observed.State {
		all[p] = true
	}
	return all
}

// links finds out which devices the plan makes and which it has to wait for.
func (d *differ) links() {
	for place, objects := range d.desired {
		have := index(d.observed.State[place])
		for _, o := range objects {
			old := have[o.key()]
			switch o := o.(type) {
			case VXLAN:
				d.renewed[link{place, o.Name}] = old == nil || !o.outlives(old)
			case Uplink:
				changed := old == nil || old.String() != o.String()
				d.renewed[link{place, topology.UplinkDevice}] = changed
				d.renewed[link{HostPlace, o.Port}] = changed
			case Port:
				d.renewed[link{place, o.Device}] = old == nil
				if old == nil && !d.observed.Facts.Devices[o.Device] && !d.lent(o.Device) {
					d.absent[link{place, o.Device}] = true
				}
			}
		}
	}
	for _, o := range d.desired[HostPlace] {
		l := link{HostPlace, o.device()}
		if _, ours := d.renewed[l]; l.device != "" && !ours && !d.observed.Facts.Devices[l.device] {
			d.absent[l] = true
		}
	}
}

// lent reports whether the VM device is in a tenant namespace now that does not want it: it will come back.
func (d *differ) lent(device string) bool {
	for place, objects := range d.observed.State {
		key := Port{Device: device}.key()
		if index(objects)[key] != nil && index(d.desired[place])[key] == nil {
			return true
		}
	}
	return false
}

func (d *differ) place(place Place) {
	have, want := index(d.observed.State[place]), index(d.desired[place])
	for key, o := range want {
		on := link{place, o.device()}
		if d.absent[on] {
			continue
		}
		old, found := have[key]
		_, isLink := o.(VXLAN)
		switch {
		case !found || d.renewed[on] && !isLink && o.stage() != stageLink:
			d.step(Step{Verb: Add, Place: place, Object: o})
		case old.String() != o.String():
			d.step(Step{Verb: Change, Place: place, Object: o, Old: old})
		}
	}
	for key, o := range have {
		if want[key] != nil || d.goesAlong(place, o, want) {
			continue
		}
		d.step(Step{Verb: Remove, Place: place, Object: o})
	}
}

// goesAlong reports whether the object vanishes with its link or its namespace, or cannot be removed for itself.
func (d *differ) goesAlong(place Place, o Object, want map[string]Object) bool {
	switch o.(type) {
	case Sysctl:
		return true
	case Namespace, VXLAN, Uplink, Port:
		return false
	}
	if _, kept := d.desired[place]; !kept {
		return true
	}
	on := link{place, o.device()}
	if on.device == "" {
		return false
	}
	// The link itself leaves, or comes anew, with everything on it.
	_, linkWanted := want["link "+on.device]
	_, linkKnown := index(d.observed.State[place])["link "+on.device]
	return d.renewed[on] || linkKnown && !linkWanted
}

func (d *differ) step(s Step) { d.plan.Steps = append(d.plan.Steps, s) }

func index(objects []Object) map[string]Object {
	m := make(map[string]Object, len(objects))
	for _, o := range objects {
		m[o.key()] = o
	}
	return m
}
