package overlay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/config"
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
	// early marks the removal of a link that is in the way of another one.
	early bool
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

// Device is a link at a place.
type Device struct {
	Place Place
	Name  string
}

// On is the device that the step's object is on; without a name if it is on none.
func (s Step) On() Device { return Device{s.Place, s.Object.device()} }

// Makes lists the devices that there are when the step is done, none if it is about no link.
func (s Step) Makes() []Device {
	switch o := s.Object.(type) {
	case VXLAN:
		return []Device{{s.Place, o.Name}}
	case Uplink:
		return []Device{{s.Place, topology.UplinkDevice}, {HostPlace, o.Port}}
	case Loop:
		return []Device{{s.Place, topology.HandoverDevice}, {s.Place, topology.DeliveryDevice}}
	case Port:
		return []Device{{s.Place, o.Device}}
	}
	return nil
}

// Plan is the way from the observed to the desired state, in the order of its steps.
type Plan struct {
	Steps   []Step
	Waiting []Waiting
	renewed map[Device]bool
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

// Detach is the part of the plan that takes traffic away: VM devices and public addresses that leave, and links that are
// in the way of new ones. It comes first.
func (p Plan) Detach() []Step {
	return p.filter(func(s Step) bool { return s.Verb == Remove && (s.early || s.Object.stage() > stageRules) })
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
	return p.filter(func(s Step) bool { return s.Verb == Remove && !s.early && s.Object.stage() < stageRules })
}

// Renewed reports whether the link of the given name is made anew at the place: hooks on it are gone.
func (p Plan) Renewed(place Place, device string) bool { return p.renewed[Device{place, device}] }

func (p Plan) filter(keep func(Step) bool) []Step {
	var out []Step
	for _, s := range p.Steps {
		if keep(s) {
			out = append(out, s)
		}
	}
	return out
}

// Diff plans the way from observed to desired.
func Diff(observed Observed, desired State) Plan {
	d := differ{
		facts: observed.Facts, have: index(observed.State), want: index(desired),
		renewed: make(map[Device]bool), readdressed: make(map[Device]bool), absent: make(map[Device]bool), lent: make(map[string]bool), tunnels: make(map[tunnel]bool),
		kept: make(map[Place]int),
	}
	d.links()
	for place := range d.want {
		d.make(place)
	}
	for place, have := range d.have {
		if d.kept[place] < len(have) {
			d.remove(place)
		}
	}
	plan := Plan{Steps: d.steps, renewed: d.renewed}
	order(plan.Steps)
	for l := range d.absent {
		plan.Waiting = append(plan.Waiting, Waiting{l.Place, l.Name})
	}
	slices.SortFunc(plan.Waiting, func(a, b Waiting) int {
		return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Device, b.Device))
	})
	return plan
}

// order puts steps into the order in which a plan makes its changes: by rank, place and text. Text is slow to make: once for each step,
// and kept for those of one rank and place.
func order(steps []Step) {
	compare := func(a, b Step) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Place, b.Place)) }
	slices.SortFunc(steps, compare)
	type named struct {
		text string
		step Step
	}
	var group []named
	for len(steps) > 0 {
		group = group[:0]
		for _, s := range steps {
			if compare(steps[0], s) != 0 {
				break
			}
			group = append(group, named{s.Object.String(), s})
		}
		slices.SortFunc(group, func(a, b named) int { return cmp.Compare(a.text, b.text) })
		for i := range group {
			steps[i] = group[i].step
		}
		steps = steps[len(group):]
	}
}

// rank puts removals that take traffic away first, then links in the way, then additions as the stages say, then the
// other removals from the last stage to the first.
func rank(s Step) int {
	const last = int(stageForwarding) + 1
	switch at := int(s.Object.stage()); {
	case s.Verb != Remove:
		return at
	case s.early:
		return -1
	case s.Object.stage() > stageRules:
		return -at
	default:
		return last + int(stageRules) - at
	}
}

// differ makes one plan. Everything is looked up: a plan takes time in proportion to the number of objects.
type differ struct {
	facts      Facts
	have, want map[Place]map[key]Object
	steps      []Step
	// renewed devices come into being with this plan: what was on them before is gone.
	renewed map[Device]bool
	// readdressed devices get another MAC, which makes the kernel forget all their neighbours, permanent ones too
	// (net/core/neighbour.c, neigh_changeaddr).
	readdressed map[Device]bool
	// absent devices are wanted by something and are nowhere.
	absent map[Device]bool
	// lent devices are in a tenant namespace now that does not want them: they will come back.
	lent map[string]bool
	// tunnels are those of the VXLAN devices that this plan makes.
	tunnels map[tunnel]bool
	// kept counts the observed objects of a place that are wanted.
	kept map[Place]int
}

// links finds out which devices the plan makes and which it has to wait for.
func (d *differ) links() {
	for place, objects := range d.have {
		for k, o := range objects {
			if p, ok := o.(Port); ok && d.want[place][k] == nil {
				d.lent[p.Device] = true
			}
		}
	}
	for place, objects := range d.want {
		for k, o := range objects {
			if k.kind != kindLink {
				continue
			}
			old := d.have[place][k]
			switch o := o.(type) {
			case VXLAN:
				if o.outlives(old) {
					d.readdress(Device{place, o.Name}, old.(VXLAN).MAC, o.MAC)
					continue
				}
				d.renewed[Device{place, o.Name}] = true
				d.tunnels[o.tunnel()] = true
			case Uplink:
				inside, outside := Device{place, topology.UplinkDevice}, Device{HostPlace, o.Port}
				if o.outlives(old) {
					d.readdress(inside, old.(Uplink).MAC, o.MAC)
					d.readdress(outside, old.(Uplink).PortMAC, o.PortMAC)
					continue
				}
				d.renewed[inside], d.renewed[outside] = true, true
			case Loop:
				sends, receives := Device{place, topology.HandoverDevice}, Device{place, topology.DeliveryDevice}
				if o.outlives(old) {
					d.readdress(sends, old.(Loop).MAC, o.MAC)
					continue
				}
				d.renewed[sends], d.renewed[receives] = true, true
			case Port:
				if was, inside := old.(Port); inside {
					d.readdress(Device{place, o.Device}, was.MAC, o.MAC)
					continue
				}
				d.renewed[Device{place, o.Device}] = true
				if !d.facts.Devices[o.Device] && !d.lent[o.Device] {
					d.absent[Device{place, o.Device}] = true
				}
			}
		}
	}
	for _, o := range d.want[HostPlace] {
		l := Device{HostPlace, o.device()}
		if l.Name != "" && !d.renewed[l] && !d.facts.Devices[l.Name] {
			d.absent[l] = true
		}
	}
}

func (d *differ) readdress(l Device, was, is config.MAC) {
	if was != is {
		d.readdressed[l] = true
	}
}

// make plans what is wanted at the place and missing or different.
func (d *differ) make(place Place) {
	have, kept := d.have[place], 0
	defer func() { d.kept[place] = kept }()
	for k, o := range d.want[place] {
		on := Device{place, o.device()}
		old := have[k]
		if old != nil {
			kept++
		}
		switch {
		case d.absent[on]:
		case old == nil || d.renewed[on] && k.kind != kindLink || d.readdressed[on] && k.kind == kindNeighbour:
			d.step(Step{Verb: Add, Place: place, Object: o})
		case !same(old, o):
			d.step(Step{Verb: Change, Place: place, Object: o, Old: old})
		}
	}
}

// remove plans what is at the place and not wanted.
func (d *differ) remove(place Place) {
	want := d.want[place]
	for k, o := range d.have[place] {
		if want[k] != nil || d.goesAlong(place, o) {
			continue
		}
		v, isVXLAN := o.(VXLAN)
		d.step(Step{Verb: Remove, Place: place, Object: o, early: isVXLAN && d.tunnels[v.tunnel()]})
	}
}

// goesAlong reports whether the object vanishes with its link or its namespace, or cannot be removed for itself.
func (d *differ) goesAlong(place Place, o Object) bool {
	switch o := o.(type) {
	case Sysctl:
		return true
	case Orphan:
		return d.renewed[Device{place, o.Port}] // its name is taken from it
	case Namespace, VXLAN, Uplink, Loop, Port:
		return false
	}
	if place != HostPlace && d.want[HostPlace][Namespace{Name: string(place)}.key()] == nil {
		return true
	}
	// The link itself leaves, or comes anew, with everything on it.
	on := Device{place, o.device()}
	return d.renewed[on] || d.have[place][linkKey(on.Name)] != nil && d.want[place][linkKey(on.Name)] == nil
}

func (d *differ) step(s Step) { d.steps = append(d.steps, s) }

func index(s State) map[Place]map[key]Object {
	all := make(map[Place]map[key]Object, len(s))
	for place, objects := range s {
		m := make(map[key]Object, len(objects))
		for _, o := range objects {
			m[o.key()] = o
		}
		all[place] = m
	}
	return all
}
