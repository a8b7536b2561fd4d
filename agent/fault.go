package agent

import (
	"fmt"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/overlay"
)

// Fault is an object of the kernel that could not be made as it should be.
type Fault struct {
	Kind Kind
	// Object is in iproute2's or ipvsadm's words. Rules are one object: they change in one transaction, or not at all.
	Object string
	Err    error
}

// rulesFailure says that the rules of a place could not be changed.
type rulesFailure struct {
	place overlay.Place
	err   error
}

func (f rulesFailure) Error() string {
	return fmt.Sprintf("change the rules of %s: %v", placeName(f.place), f.err)
}

func (f rulesFailure) Unwrap() error { return f.err }

// Faults are the objects that an error of [Agent.Apply] is about, in the order in which they were tried. What is no object's, such as a
// namespace that cannot be entered, is left out.
func Faults(err error) []Fault {
	switch e := err.(type) { // not errors.As: it would find the first of many
	case overlay.Failure:
		return []Fault{{OverlayChange, e.Step.Object.String(), e.Err}}
	case rulesFailure:
		return []Fault{{RulesChange, "rules", e.err}}
	case ipvs.Failure:
		return []Fault{{BalanceChange, e.Step.String(), e.Err}}
	case interface{ Unwrap() []error }:
		var out []Fault
		for _, part := range e.Unwrap() {
			out = append(out, Faults(part)...)
		}
		return out
	case interface{ Unwrap() error }:
		return Faults(e.Unwrap())
	}
	return nil
}
