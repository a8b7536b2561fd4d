package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/culvertnet/culvert/agent"
)

// Fault is an object of the kernel that could not be made as it should be when it was tried last.
type Fault struct {
	Kind agent.Kind `json:"kind"`
	// Object is in iproute2's or ipvsadm's words; all rules of a namespace are one object.
	Object string `json:"object"`
	// Incident says why, and since when the object fails, for whatever reasons.
	Incident
	// Retry is when it is tried next if nothing happens until then. If that is past, it waits for another that comes before it.
	Retry time.Time `json:"retry"`
}

// maxFaults is how many objects of a tenant are told of.
const maxFaults = 20

// errorOf is the error of a look in which objects failed, nil if none did. A tenant whose namespace cannot be entered has thousands.
func errorOf(list []agent.Failure) error {
	if len(list) == 0 {
		return nil
	}
	told := agent.Failures(list[:min(len(list), maxFaults)])
	if more := len(list) - len(told); more > 0 {
		return fmt.Errorf("%w\nand %d more", told, more)
	}
	return told
}

// failing are objects of one place that could not be made. Each has its own times, so that one that goes on failing holds up no other.
type failing map[agent.Object]*attempts

// attempts are how often an object could not be made, and when it is tried next.
type attempts struct {
	err error
	// since is when the first try in a row failed, tried when the last one did.
	since, tried, retry time.Time
	tries               int
	// blocked says that it has not been tried in the last look, as another failed before: its own next try is not waited for.
	blocked bool
	// rank is its place among those that failed in the last look: what others stand on comes first.
	rank int
	// drift says that the first try was to undo what others did.
	drift bool
}

// sooner is when the next try may be if something has happened: not at once, as it may have been the last try's own writes. What is
// wanted anew does not wait.
func (f *attempts) sooner() time.Time {
	if f.tries == 0 {
		return f.tried
	}
	return f.tried.Add(backOff(f.tries-1) / 4)
}

// hurry brings the next tries forward to a given time, or as close to it as may be.
func (f failing) hurry(at time.Time) {
	for _, one := range f {
		if soon := later(at, one.sooner()); soon.Before(one.retry) {
			one.retry = soon
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// release has all objects tried at the next look.
func (f failing) release() {
	for _, one := range f {
		one.retry = one.tried
	}
}

// renew forgets how often objects have failed: what is wanted of them may be something else now.
func (f failing) renew() {
	f.release()
	for _, one := range f {
		one.tries = 0
	}
}

// hold enters the objects whose next try is not due, with their last errors.
func (f failing) hold(held map[agent.Object]error, now time.Time) {
	for object, one := range f {
		if one.retry.After(now) {
			held[object] = one.err
		}
	}
}

// next is when the next object is due, zero for none.
func (f failing) next() (next time.Time) {
	for _, one := range f {
		if !one.blocked && (next.IsZero() || one.retry.Before(next)) {
			next = one.retry
		}
	}
	return next
}

// again reports whether objects that had failed before are as they should be since a look, and whether that was to undo what others had
// done.
func (f failing) again(o outcome) (again, drift bool) {
	stays := make(map[agent.Object]bool)
	for _, b := range o.blocked {
		stays[b] = true
	}
	for _, failure := range o.failures {
		stays[failure.Object] = true
	}
	for object, one := range f {
		if !stays[object] {
			again, drift = true, drift || one.drift
		}
	}
	return again, drift
}

// take enters what failed in a look. An object that goes on failing has failed since it did first; one that has not been tried, for
// another's failure, is as it was. Where one is well again, the others are hurried: they may have failed for its sake.
func (f failing) take(o outcome, drift bool, now time.Time) failing {
	out := make(failing, len(o.failures))
	for _, b := range o.blocked {
		if old := f[b]; old != nil {
			old.blocked, out[b] = true, old
		}
	}
	for i, failure := range o.failures {
		one := f[failure.Object]
		if one == nil {
			one = &attempts{since: now, drift: drift}
		}
		if _, held := o.held[failure.Object]; !held && out[failure.Object] == nil {
			one.err, one.tried, one.retry = failure.Err, now, now.Add(backOff(one.tries))
			one.tries++
		}
		one.rank, one.blocked = i, false
		out[failure.Object] = one
	}
	for object := range f {
		if out[object] == nil {
			out.hurry(now)
		}
	}
	return out
}

// list is for the status: those that have failed for longest first.
func (f failing) list() []Fault {
	objects := slices.SortedFunc(maps.Keys(f), func(a, b agent.Object) int {
		return cmp.Or(f[a].since.Compare(f[b].since), cmp.Compare(f[a].rank, f[b].rank))
	})
	var out []Fault
	for _, o := range objects {
		if one := f[o]; o.Kind != "" && len(out) < maxFaults {
			reason := agent.Failure{Object: o, Err: one.err}.Reason()
			out = append(out, Fault{o.Kind, o.Name, Incident{reason.Error(), one.since}, one.retry})
		}
	}
	return out
}
