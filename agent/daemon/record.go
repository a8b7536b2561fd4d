package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/topology"
)

// Times between looks at one tenant.
const (
	// calm is the shortest; it also lets a storm of notifications end in one look.
	calm = 20 * time.Millisecond
	// share keeps looks that are asked for all the time and find nothing from taking more than a quarter of a processor.
	share = 3
	// longest is what it comes to when looks take long, or when each finds something to do because somebody else writes the
	// same things: what is broken is seen to within a second.
	longest = 500 * time.Millisecond
	// firstRetry doubles with each failure, up to lastRetry.
	firstRetry, lastRetry = 100 * time.Millisecond, time.Minute
)

// record is what the keeper knows of one tenant, or, without a name, of the host's own part.
type record struct {
	Tenant
	// wanted is the tenant as the fleet has it; nil if its namespace must go, and for the host's own part.
	wanted *topology.Tenant
	// changed is true until the tenant has been tried since the fleet, or a verdict about a backend, changed it; why says which.
	changed bool
	why     cause
	// settled is true once the tenant has been tried since the fleet changed it: what differs then, but for what failed, was changed by
	// somebody else.
	settled bool
	// meddled is true if what a later look is to put back was changed by somebody else.
	meddled bool
	// due is when the next look is, zero for none; it is not before notBefore.
	due, notBefore time.Time
	// owing are, for the host's own part, the tenants that were looked at when it failed and have not been since: one of them may be
	// whom it failed for.
	owing map[string]bool
	// failing are the objects that could not be made when they were tried last.
	failing failing
	// failures are tries in a row that failed for other reasons than an object, rounds are looks in a row that found something to do.
	failures, rounds int
}

// backOff is how long to wait after a failure that has come so often before.
func backOff(failures int) time.Duration { return min(firstRetry<<min(failures, 20), lastRetry) }

// ask has the tenant looked at, at the given time or as soon as it may be, because something may be otherwise since the last time: what
// failed then is tried sooner.
func (r *record) ask(at time.Time) {
	r.failing.hurry(at)
	r.lookAt(at)
}

// lookAt has the tenant looked at, at the given time or as soon as it may be.
func (r *record) lookAt(at time.Time) {
	if at.Before(r.notBefore) {
		at = r.notBefore
	}
	if r.due.IsZero() || at.Before(r.due) {
		r.due = at
	}
}

// putOff has the tenant looked at then, and not before unless the fleet changes again.
func (r *record) putOff(until time.Time) { r.due, r.notBefore = until, until }

// want takes the fleet's newest word.
func (r *record) want(t *topology.Tenant, now time.Time, why cause) {
	r.wanted, r.changed, r.settled, r.State, r.why = t, true, false, Pending, why
	r.notBefore, r.failures = time.Time{}, 0
	r.failing.renew()
	r.lookAt(now)
}

// outcome is what a look did to one tenant.
type outcome struct {
	// changes are those that were made.
	changes []agent.Change
	// came is true if a VM's device has been attached.
	came    bool
	waiting []string
	// settles is true if all that changed was due since an earlier look.
	settles bool
	// meddled is true if something is due in a later look that no look before has caused.
	meddled bool
	err     error
	// failures are the objects that the error is about, blocked are those that have not been tried because of them.
	failures []agent.Failure
	blocked  []agent.Object
	// held are the objects that have not been tried because it was not their time; they are among the failures.
	held map[agent.Object]error
	// owed is true if nothing failed in the host's own part, but not all tenants were looked at for whom it may have failed before.
	owed bool
	// untried is true if the error came before any object: those that failed before have not succeeded since.
	untried bool
}

// cause says why something was written.
type cause string

const (
	causeStart  cause = "start"
	causeFleet  cause = "fleet"
	causeRetry  cause = "retry"
	causeDevice cause = "device"
	causeDrift  cause = "drift"
	causeSettle cause = "settle"
	causeHealth cause = "health"
)

// cause finds out why the look had something to do.
func (r *record) cause(o outcome, first bool) cause {
	again, drift := r.failing.again(o)
	again = again && !r.host()
	switch {
	case o.settles && !r.meddled:
		return causeSettle
	case r.settled && o.came:
		return causeDevice
	case r.settled && (!again || drift):
		return causeDrift
	case r.failures > 0 || again:
		return causeRetry
	case first:
		return causeStart
	default:
		return cmp.Or(r.why, causeFleet)
	}
}

// take enters what a look did, and says when the next one is.
func (r *record) take(o outcome, why cause, generation string, started, now time.Time) {
	r.Looked, r.due = now, time.Time{}
	r.changed = false
	r.meddled = o.meddled && r.settled || r.meddled && len(o.changes) == 0
	if len(o.changes) > 0 {
		r.rounds++
		r.Changed, r.Took = now, now.Sub(started)
		if why == causeDrift {
			r.Drift += len(o.changes)
			r.Repaired = repair(now, o.changes)
		}
	} else {
		r.rounds = 0
	}
	pause := calm
	switch {
	case r.rounds == 0:
		pause = min(max(calm, share*now.Sub(started)), longest)
	case r.rounds > 1:
		pause = min(calm<<min(r.rounds, 10), longest)
	}
	r.Waiting, r.notBefore = o.waiting, now.Add(pause)
	if len(o.changes) > 0 {
		r.lookAt(r.notBefore) // is it so now?
	}
	switch {
	case o.err != nil:
		r.takeFailure(o, why, now)
		return
	case o.owed:
		return
	}
	r.failures, r.failing = 0, nil
	r.Error, r.Retry, r.Faults = nil, time.Time{}, nil
	r.settled, r.State, r.Generation = true, Converged, generation
	if len(o.waiting) > 0 {
		r.State = Waiting
	}
}

// host reports whether the record is of the host's own part.
func (r *record) host() bool { return r.Name == "" }

// owe notes the tenants of a look at the host's own part, and reports whether there are others, because of whom it fails still.
func (r *record) owe(names []string, o outcome) bool {
	if r.owing == nil {
		r.owing = make(map[string]bool)
	}
	for _, name := range names {
		switch {
		case name == "" || o.untried:
		case o.err != nil:
			r.owing[name] = true
		case len(o.blocked) == 0:
			delete(r.owing, name)
		}
	}
	return o.err == nil && r.Error != nil && len(r.owing) > 0
}

// takeFailure enters that a look failed: for objects, each of which has its next try, or before any was tried. The host's own part has one
// next try for all: what is there for a tenant is in the plans for that tenant alone, so that nobody knows how an object is that a
// plan does not have.
func (r *record) takeFailure(o outcome, why cause, now time.Time) {
	r.State, r.Error = Failed, since(r.Error, o.err, now)
	if !o.untried {
		r.failing = r.failing.take(o, why == causeDrift, now)
		r.Faults = r.failing.list()
	}
	if o.untried || r.host() {
		wait := backOff(r.failures)
		r.failures++
		r.Retry = now.Add(wait)
		// A notification may bring the next try forward, but not our own writes of this one.
		r.notBefore = later(r.notBefore, now.Add(wait/4))
		if r.host() {
			r.Faults = slices.Clone(r.Faults) // the status has the others
			for i := range r.Faults {
				r.Faults[i].Retry = r.Retry
			}
		}
	} else {
		r.failures, r.settled = 0, true
		r.Retry = later(now, r.failing.next())
	}
	r.lookAt(r.Retry)
}

func repair(now time.Time, changes []agent.Change) *Repair {
	out := &Repair{At: now}
	for _, c := range changes[:min(len(changes), repairLines)] {
		out.Changes = append(out.Changes, c.String())
	}
	if more := len(changes) - len(out.Changes); more > 0 {
		out.Changes = append(out.Changes, fmt.Sprintf("and %d more", more))
	}
	return out
}
