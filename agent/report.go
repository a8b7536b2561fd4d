package agent

import (
	"fmt"
	"strings"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
)

// Kind says which room makes a change.
type Kind string

// The kinds.
const (
	OverlayChange Kind = "overlay"
	RulesChange   Kind = "rules"
	BalanceChange Kind = "ipvs"
)

// Change is one change of a plan, for programs and people.
type Change struct {
	Verb overlay.Verb `json:"verb"`
	// Namespace is the tenant namespace, empty for the host's own.
	Namespace string `json:"namespace"`
	Kind      Kind   `json:"kind"`
	// Text is the object in iproute2's, nft's or ipvsadm's words.
	Text string `json:"text"`
}

// signs begin the line of a change.
var signs = map[overlay.Verb]string{overlay.Add: "+", overlay.Change: "~", overlay.Remove: "-"}

// String prints the change on one line, a sign first.
func (c Change) String() string {
	var b strings.Builder
	b.WriteString(signs[c.Verb] + " ")
	if c.Namespace != "" {
		b.WriteString(c.Namespace + ": ")
	}
	switch c.Kind {
	case RulesChange:
		b.WriteString("nft ")
	case BalanceChange:
		b.WriteString("ipvs ")
	}
	return b.String() + c.Text
}

// Report is a plan as `culvert plan -o json` prints it. The lists are never nil.
type Report struct {
	Host string `json:"host"`
	// Changes are in the order in which they are made.
	Changes []Change `json:"changes"`
	// Waiting are devices that are not there yet, with what depends on them left out of the changes.
	Waiting []Wait   `json:"waiting"`
	Notes   []string `json:"notes"`
}

// Wait is a device waited for; the namespace is the one that it shall be in, empty for the host's own.
type Wait struct {
	Namespace string `json:"namespace"`
	Device    string `json:"device"`
}

// Report returns the plan for programs.
func (p Plan) Report() Report {
	r := Report{Host: p.Host, Changes: append([]Change{}, p.Changes()...), Waiting: []Wait{}, Notes: append([]string{}, p.Notes...)}
	for _, w := range p.Overlay.Waiting {
		r.Waiting = append(r.Waiting, Wait{string(w.Place), w.Device})
	}
	return r
}

// Changes returns the changes in the order in which they are made.
func (p Plan) Changes() []Change {
	guard := rulesChanges(overlay.HostPlace, p.Guard)
	var out []Change
	if !p.unguarded {
		out, guard = guard, nil
	}
	out = append(out, overlayChanges(p.Overlay.Detach(), p.Overlay.Prepare())...)
	for _, r := range p.Rules {
		out = append(out, rulesChanges(r.Place, r.Plan)...)
	}
	var later []Change
	for _, b := range p.Balancing {
		out = append(out, balanceChanges(b.Place, b.Plan.Steps)...)
		later = append(later, balanceChanges(b.Place, b.Plan.Later)...)
	}
	out = append(out, overlayChanges(p.Overlay.Attach(), p.Overlay.Release())...)
	return append(append(out, guard...), later...)
}

// Lines returns a line for each change, in the order in which they are made.
func (p Plan) Lines() []string {
	var out []string
	for _, c := range p.Changes() {
		out = append(out, c.String())
	}
	return out
}

// String prints a line for each change, each device waited for and each note.
func (p Plan) String() string {
	var b strings.Builder
	for _, l := range p.Lines() {
		fmt.Fprintln(&b, l)
	}
	for _, w := range p.Overlay.Waiting {
		fmt.Fprintln(&b, w)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	return b.String()
}

func overlayChanges(phases ...[]overlay.Step) []Change {
	var out []Change
	for _, steps := range phases {
		for _, s := range steps {
			out = append(out, overlayChange(s))
		}
	}
	return out
}

func overlayChange(s overlay.Step) Change {
	return Change{s.Verb, string(s.Place), OverlayChange, s.Text()}
}

func rulesChanges(place overlay.Place, p nft.Plan) []Change {
	var out []Change
	for _, l := range p.Lines {
		out = append(out, signedChange(place, RulesChange, l))
	}
	return out
}

func balanceChanges(place overlay.Place, steps []ipvs.Step) []Change {
	var out []Change
	for _, s := range steps {
		out = append(out, signedChange(place, BalanceChange, s.String()))
	}
	return out
}

// signedChange reads a line of the nft or the ipvs room, "+ ip counter snat": its sign is the verb.
func signedChange(place overlay.Place, kind Kind, line string) Change {
	sign, text, _ := strings.Cut(line, " ")
	c := Change{overlay.Change, string(place), kind, text}
	for verb, s := range signs {
		if s == sign {
			c.Verb = verb
		}
	}
	return c
}
