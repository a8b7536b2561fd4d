package ipvs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/ipvs/maglev"
)

// Verb says what a step does to its object; it begins the step's line.
type Verb string

// The verbs.
const (
	Add    Verb = "+"
	Change Verb = "~"
	Remove Verb = "-"
)

// Step is one change. Exactly one of Setting, Daemon and Service is set; Destination goes with Service.
type Step struct {
	Verb        Verb
	Setting     *Setting
	Daemon      *Daemon
	Service     *Service
	Destination *Destination
	// Why is what the reader of a plan would ask, empty where it is plain.
	Why string
}

// String prints the step on one line, the verb first.
func (s Step) String() string {
	text := ""
	switch {
	case s.Setting != nil:
		text = s.Setting.String()
	case s.Daemon != nil:
		text = s.Daemon.String()
	case s.Destination != nil:
		text = fmt.Sprintf("%s -> %s", s.Service.Name, s.Destination)
	default:
		text = fmt.Sprintf("%s %s", s.Service.Name, s.Service.scheduling())
	}
	if s.Why != "" {
		text += " (" + s.Why + ")"
	}
	return string(s.Verb) + " " + text
}

// Object names what the step is about, in ipvsadm's words: a service is one with its destinations.
func (s Step) Object() string {
	switch {
	case s.Setting != nil:
		return "net.ipv4.vs." + s.Setting.Name
	case s.Daemon != nil:
		return s.Daemon.String()
	default:
		return s.Service.Name.String()
	}
}

// Plan is the way from the observed to the desired state.
type Plan struct {
	// Steps are for [Apply].
	Steps []Step
	// Later are for [Settle], [SettleTime] after the others.
	Later []Step
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 && len(p.Later) == 0 }

// Announces reports whether [Announce] has something to do, [HeadsUp] before [Apply].
func (p Plan) Announces() bool { return len(p.announcement()) > 0 }

func (p Plan) announcement() []Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Setting == nil || *s.Setting != cautious })
}

// Settles reports whether [Settle] has to follow.
func (p Plan) Settles() bool { return len(p.Later) > 0 }

// Lines returns a line for each step.
func (p Plan) Lines() []string {
	var out []string
	for _, s := range slices.Concat(p.Steps, p.Later) {
		out = append(out, s.String())
	}
	return out
}

// String prints a line for each step.
func (p Plan) String() string {
	var b strings.Builder
	for _, l := range p.Lines() {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}

// Diff plans the way from observed to desired.
func Diff(observed, desired State) Plan {
	var p Plan
	services := diffServices(observed.Services, desired.Services)
	window := len(desired.Daemons) > 0 && slices.ContainsFunc(services, func(s Step) bool { return s.Destination != nil })
	// Flows must not be cut before destinations that come again, in this plan or one that was killed, are there.
	cut := observed.setting(cutting.Name)
	if slices.ContainsFunc(services, func(s Step) bool { return s.Why == comesAgain }) && cut != waiting.Value {
		services, cut = append(change(waiting, "while destinations come again"), services...), waiting.Value
	}
	if desired.setting(cutting.Name) == cutting.Value && cut != cutting.Value {
		services = append(services, change(cutting, "")...)
	}
	for _, want := range desired.Settings {
		has := observed.setting(want.Name)
		switch {
		case want == cutting:
		case want == sloppy && len(desired.Daemons) > 0:
			if window && has != cautious.Value {
				p.Steps = append(p.Steps, change(cautious, "until the nodes know of each other's flows")...)
			}
			if window || has != want.Value {
				p.Later = change(want, fmt.Sprintf("after %s", SettleTime))
			}
		case has != want.Value:
			p.Steps = append(p.Steps, change(want, was(has))...)
		}
	}
	p.Steps = slices.Concat(p.Steps, diffDaemons(observed.Daemons, desired.Daemons), services)
	return p
}

// change is the step that sets a parameter.
func change(s Setting, why string) []Step { return []Step{{Verb: Change, Setting: &s, Why: why}} }

// was says what a step replaces.
func was(old string) string {
	if old == "" {
		return ""
	}
	return "was: " + old
}

// diffDaemons compares by role. A daemon's parameters cannot be changed: it is stopped and started.
func diffDaemons(observed, desired []Daemon) []Step {
	var gone, come []Step
	for _, d := range observed {
		if !slices.Contains(desired, d) {
			gone = append(gone, Step{Verb: Remove, Daemon: &d})
		}
	}
	for _, d := range desired {
		if !slices.Contains(observed, d) {
			come = append(come, Step{Verb: Add, Daemon: &d})
		}
	}
	return append(gone, come...)
}

func diffServices(observed, desired []Service) []Step {
	have := make(map[Name]Service, len(observed))
	for _, s := range observed {
		have[s.Name] = s
	}
	var steps []Step
	for _, want := range desired {
		old, ok := have[want.Name]
		delete(have, want.Name)
		if !ok {
			steps = append(steps, Step{Verb: Add, Service: &want})
		} else if old.scheduling() != want.scheduling() {
			steps = append(steps, Step{Verb: Change, Service: &want, Why: was(old.scheduling())})
		}
		steps = append(steps, withDisruption(diffDestinations(&want, old.Destinations), old, want)...)
	}
	// Those left are nobody's.
	gone := make([]Service, 0, len(have))
	for _, s := range have {
		gone = append(gone, s)
	}
	slices.SortFunc(gone, func(a, b Service) int { return compareNames(a.Name, b.Name) })
	for _, s := range gone {
		steps = append(steps, Step{Verb: Remove, Service: &s})
	}
	return steps
}

// withDisruption has the last step of a service that goes on say what the whole change does to the table: new flows of the slots that
// move, and flows of them that a node has no entry for, go to another destination.
func withDisruption(steps []Step, old, want Service) []Step {
	if len(steps) == 0 || len(old.Destinations) == 0 || len(want.Destinations) == 0 {
		return steps
	}
	if d := maglev.Compare(old.Table(), want.Table()); d.Moved > 0 {
		last := &steps[len(steps)-1]
		last.Why = strings.TrimPrefix(last.Why+"; "+d.String(), "; ")
	}
	return steps
}

// comesAgain is why a destination is removed that is wanted.
const comesAgain = "comes again, for the order"

// diffDestinations changes what stays in place, removes what goes, and then adds: the kernel's order is that of adding, so
// whoever comes after one that is missing or in the wrong place is removed too and added again.
func diffDestinations(service *Service, observed []Destination) []Step {
	step := func(v Verb, d Destination, why string) Step {
		return Step{Verb: v, Service: service, Destination: &d, Why: why}
	}
	desired, kept := service.Destinations, 0
	var change, remove, add []Step
	for _, old := range observed {
		if kept < len(desired) && old.Address == desired[kept].Address {
			change = append(change, changeDestination(step, old, desired[kept])...)
			kept++
			continue
		}
		why := ""
		if slices.ContainsFunc(desired, func(d Destination) bool { return d.Address == old.Address }) {
			why = comesAgain
		}
		remove = append(remove, step(Remove, old, why))
	}
	for _, d := range desired[kept:] {
		whole := d
		whole.Weight = whole.Nominal
		add = append(add, step(Add, whole, ""))
		if d != whole {
			add = append(add, step(Change, d, "drains"))
		}
	}
	return slices.Concat(change, remove, add)
}

// changeDestination brings weights to where they shall be; the nominal one has to be the weight once for the kernel to know.
func changeDestination(step func(Verb, Destination, string) Step, old, want Destination) []Step {
	if old == want {
		return nil
	}
	var steps []Step
	if old.Nominal != want.Nominal && want.Weight != want.Nominal {
		whole := want
		whole.Weight = whole.Nominal
		steps = append(steps, step(Change, whole, was(old.weights())))
		old = whole
	}
	return append(steps, step(Change, want, was(old.weights())))
}

// weights is the part of a destination's text that can change.
func (d Destination) weights() string {
	_, text, _ := strings.Cut(d.String(), " route ")
	return text
}
