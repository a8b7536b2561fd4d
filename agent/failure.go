package agent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/overlay"
)

// Object is what a plan makes, changes or removes as one.
type Object struct {
	// Place is the tenant namespace that the object is in or is itself, empty for the host's own.
	Place overlay.Place
	Kind  Kind
	// Name is in iproute2's or ipvsadm's words. All rules of a place are one object, as they change in one transaction; a service of
	// IPVS is one with its destinations.
	Name string
}

func overlayObject(s overlay.Step) Object {
	o := Object{s.Place, OverlayChange, s.Object.String()}
	if ns, ok := s.Object.(overlay.Namespace); ok {
		o.Place = overlay.Place(ns.Name)
	}
	return o
}

func rulesObject(place overlay.Place) Object { return Object{place, RulesChange, "rules"} }

func balanceObject(place overlay.Place, s ipvs.Step) Object {
	return Object{place, BalanceChange, s.Object()}
}

// Failure is what went wrong with one object. Without a kind it is no object's, but its place's: a namespace that cannot be entered.
type Failure struct {
	Object
	Err error
}

// Error names the object, the place and the reason.
func (f Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f Failure) Unwrap() error { return f.Err }

// Reason is the error without the object and the place.
func (f Failure) Reason() error {
	if reason := errors.Unwrap(f.Err); reason != nil {
		return reason
	}
	return f.Err
}

// balanceFailures are those in an error of the room ipvs.
func balanceFailures(place overlay.Place, doing string, err error) Failures {
	switch e := err.(type) { // not errors.As: it would find the first of many
	case nil:
		return nil
	case interface{ Unwrap() []error }:
		var out Failures
		for _, part := range e.Unwrap() {
			out = append(out, balanceFailures(place, doing, part)...)
		}
		return out
	case ipvs.Failure:
		return Failures{{balanceObject(place, e.Step), fmt.Errorf("%s the load balancer of %s: ipvs %s: %w", doing, place, e.Step, e.Err)}}
	default:
		return Failures{{Object{Place: place}, fmt.Errorf("%s the load balancer of %s: %w", doing, place, err)}}
	}
}

// Failures are all that went wrong in one [Agent.Apply].
type Failures []Failure

// Error returns a line for each failure.
func (f Failures) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the failures.
func (f Failures) Unwrap() []error {
	errs := make([]error, len(f))
	for i := range f {
		errs[i] = f[i]
	}
	return errs
}
