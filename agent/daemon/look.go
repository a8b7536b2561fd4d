package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
	"github.com/culvertnet/culvert/trigger"
)

// lookAtAll compares everything at once, in the host's namespace also what belongs to no tenant, and changes what differs. If it comes to
// looks at single tenants, everything is looked at again.
func (k *keeper) lookAtAll(ctx context.Context) {
	release, ok := k.alone(ctx)
	if !ok {
		return
	}
	defer release()
	k.whole = time.Time{}
	k.record("")
	started := time.Now()
	for _, r := range k.records {
		r.failing.release()
	}
	for _, t := range k.host.Tenants {
		k.number(t.Name)
	}
	whole := false
	plan, err := k.agent.PlanHost(*k.host)
	if err == nil {
		for _, c := range plan.Changes() {
			if name, ok := strings.CutPrefix(c.Namespace, topology.NamespacePrefix); ok {
				k.record(name) // of a tenant that the fleet does not have
			}
		}
		k.hostWell()
		whole, err = k.change(plan, k.names(), started)
	}
	if err != nil {
		k.recordSpaces() // as a plan for all would have found them
		k.lookAtEach(err, k.names())
	}
	if whole {
		k.pieces = 0
		return
	}
	k.whole = time.Now().Add(min(ipvs.HeadsUp<<min(k.pieces, 20), k.opts.Check)) // when who was put off can be carried out
	k.pieces++
}

// look compares some tenants and changes what differs.
func (k *keeper) look(ctx context.Context, names []string) {
	release, ok := k.alone(ctx)
	if !ok {
		return
	}
	defer release()
	started := time.Now()
	plan, err := k.plan(names)
	if err == nil {
		_, err = k.change(plan, names, started)
	}
	if err != nil {
		k.lookAtEach(err, names)
	}
}

// lockPatience is how long the keeper waits for another program that changes the host, deaf to all else. A `culvert apply` that changes
// a load balancer takes [ipvs.HeadsUp] and [ipvs.SettleTime] and is no failure; the service manager's watchdog waits for longer.
const lockPatience = 10 * time.Second

// alone takes the host's lock. If another program keeps it, that is told and everything is looked at later.
func (k *keeper) alone(ctx context.Context) (release func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	release, err := agent.Lock(ctx, k.opts.Lock)
	if err != nil {
		k.hostFailed(err, time.Now())
	}
	return release, err == nil
}

// names are those of all records.
func (k *keeper) names() []string { return slices.Sorted(maps.Keys(k.records)) }

// change carries a plan for the tenants out, but for those whose load balancer's other nodes have to hear of it first: they are put off.
// Every change goes through here. It reports whether the whole plan was carried out. An error says that the others could not be planned
// without them; then nothing was carried out.
func (k *keeper) change(plan agent.Plan, names []string, started time.Time) (whole bool, err error) {
	now := k.announce(plan, names)
	if len(now) == 0 {
		return len(names) == 0, nil
	}
	whole = len(now) == len(names)
	if !whole {
		if plan, err = k.plan(now); err != nil {
			return false, err
		}
	}
	k.carryOut(plan, now, started)
	return whole, nil
}

// announce tells a load balancer's other nodes of a change of the fleet's that all of them are about to make, and puts the tenant off
// until they have heard. What others did is undone at once. It returns the tenants that can be carried out now.
func (k *keeper) announce(plan agent.Plan, names []string) []string {
	var announcing agent.Plan
	for _, b := range plan.Balancing {
		if r := k.records[tenantAt(b.Place)]; r != nil && r.changed {
			announcing.Balancing = append(announcing.Balancing, b)
		}
	}
	later, err := k.agent.Announce(announcing)
	if err != nil {
		k.opts.Log.Warn("a load balancer's nodes change one after the other, which may cut flows", "err", err)
	}
	now := slices.Clone(names)
	for place, due := range later {
		name := tenantAt(place)
		k.records[name].putOff(due)
		now = slices.DeleteFunc(now, func(n string) bool { return n == name })
	}
	return now
}

// lookAtEach is for when tenants could not be compared together: one may keep the others from it.
func (k *keeper) lookAtEach(err error, names []string) {
	if _, hostErr := k.agent.PlanOnly(*k.host, nil); hostErr != nil {
		k.hostFailed(hostErr, time.Now())
		return
	}
	k.hostWell()
	if len(names) == 1 {
		k.fail(names[0], err, time.Now())
		return
	}
	for _, name := range names {
		started := time.Now()
		plan, err := k.plan([]string{name})
		if err == nil {
			_, err = k.change(plan, []string{name}, started)
		}
		if err != nil {
			k.fail(name, err, started)
		}
	}
}

func (k *keeper) plan(names []string) (agent.Plan, error) {
	tenants := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	for _, name := range tenants {
		k.number(name)
	}
	return k.agent.PlanOnly(*k.host, tenants)
}

// carryOut applies a plan that is for the named tenants and enters what came of it.
func (k *keeper) carryOut(plan agent.Plan, names []string, started time.Time) {
	outcomes := make(map[string]outcome)
	settling := k.agent.Settling()
	at := func(name string, change func(*outcome)) {
		o := outcomes[name]
		change(&o)
		outcomes[name] = o
	}
	for _, w := range plan.Overlay.Waiting {
		at(tenantAt(w.Place), func(o *outcome) { o.waiting = append(o.waiting, w.Device) })
	}
	if !plan.Empty() {
		k.try(plan, names, at)
	}
	for name, o := range outcomes {
		o.err = errorOf(o.failures)
		outcomes[name] = o
	}
	for _, b := range plan.Balancing {
		at(tenantAt(b.Place), func(o *outcome) {
			_, known := settling[b.Place]
			end := len(b.Plan.Steps) == 0
			o.settles, o.meddled = end && len(o.changes) == len(b.Plan.Later), end && !known && b.Plan.Settles()
		})
	}
	for _, n := range plan.Notes {
		if !slices.Contains(k.lacks, n) {
			k.lacks = append(k.lacks, n)
			k.opts.Log.Warn("not carried out", "note", n)
		}
	}
	// What happened in the host's namespace is that of the host's own part, whoever it was for.
	if _, ok := outcomes[""]; (ok || len(k.record("").owing) > 0) && !slices.Contains(names, "") {
		names = append(slices.Clone(names), "")
	}
	slices.Sort(names)
	causes := k.causes(names, outcomes)
	hostErr := outcomes[""].err
	planned := make(map[string]bool)
	if hostErr != nil {
		for _, c := range plan.Changes() {
			planned[tenantAt(overlay.Place(c.Namespace))] = true
		}
	}
	for _, name := range names {
		o := outcomes[name]
		if o.err == nil && name != "" && planned[name] {
			o.err = fmt.Errorf("the host's own part failed, and this may not have been done: %w", hostErr)
			o.untried = true
		}
		if name == "" {
			o.owed = k.record("").owe(names, o)
		}
		k.enter(name, o, causes[name], started)
		if r := k.records[name]; hostErr != nil && r != nil {
			r.lookAt(k.records[""].Retry)
		}
	}
	k.collect()
	for place, due := range k.agent.Settling() {
		// One that fails has its own times.
		if r := k.records[tenantAt(place)]; r != nil && (r.Error == nil || due.After(time.Now())) {
			r.lookAt(due)
		}
	}
	k.compareUnderlay(plan.Facts)
}

// collect has the tenants looked at that keep the host's own part from being well, should nothing else ask for that before.
func (k *keeper) collect() {
	host := k.record("")
	if host.Error == nil {
		return
	}
	for name := range host.owing {
		if r := k.records[name]; r != nil {
			r.lookAt(time.Now().Add(lastRetry))
		}
	}
}

// try applies a plan but for objects that failed not long ago.
func (k *keeper) try(plan agent.Plan, names []string, at func(string, func(*outcome))) {
	held, now := make(map[agent.Object]error), time.Now()
	for _, name := range names {
		if r := k.record(name); !r.host() {
			r.failing.hold(held, now)
		}
	}
	attempt := k.agent.Try(plan, held)
	for _, c := range attempt.Done {
		at(tenantAt(overlay.Place(c.Namespace)), func(o *outcome) { o.changes = append(o.changes, c) })
	}
	for _, place := range attempt.Attached {
		at(tenantAt(place), func(o *outcome) { o.came = true })
	}
	for _, f := range attempt.Failures {
		at(tenantAt(f.Place), func(o *outcome) { o.failures, o.held = append(o.failures, f), held })
	}
	for _, b := range attempt.Blocked {
		at(tenantAt(b.Place), func(o *outcome) { o.blocked = append(o.blocked, b) })
	}
}

// causes finds out why each tenant had something to do. What is done in the host's own part for a tenant has the tenant's cause.
func (k *keeper) causes(names []string, outcomes map[string]outcome) map[string]cause {
	out := make(map[string]cause, len(names))
	host := k.record("").cause(outcomes[""], !k.ready)
	for _, name := range names {
		why := k.record(name).cause(outcomes[name], !k.ready)
		out[name] = why
		if name != "" && why != causeDrift {
			host = why
		}
	}
	out[""] = host
	return out
}

func tenantAt(p overlay.Place) string { return strings.TrimPrefix(string(p), topology.NamespacePrefix) }

// compareUnderlay has everything looked at if the device that carries the overlay became another, or another size.
func (k *keeper) compareUnderlay(facts overlay.Facts) {
	now := underlay{facts.Underlay, facts.UnderlayMTU}
	if k.underlay != (underlay{}) && k.underlay != now {
		for _, r := range k.records {
			r.ask(time.Now())
		}
	}
	k.underlay = now
}

// enter writes the outcome down and tells of it.
func (k *keeper) enter(name string, o outcome, why cause, started time.Time) {
	r, now := k.record(name), time.Now()
	k.changes += len(o.changes)
	if why == causeDrift {
		k.drift += len(o.changes)
	}
	k.tell(r, o, why)
	if r.Error != nil && o.err == nil && !o.owed && !k.whole.IsZero() {
		k.whole = now // it may have been this tenant that kept everything from being planned
	}
	waited := r.Waiting
	r.take(o, why, k.generation, started, now)
	for _, device := range o.waiting {
		if !slices.Contains(waited, device) {
			k.opts.Log.Info("waiting for device", "tenant", name, "device", device)
		}
	}
	if r.wanted == nil && name != "" && o.err == nil {
		k.forget(name)
	}
}

// fail enters that a tenant could not be compared.
func (k *keeper) fail(name string, err error, started time.Time) {
	o := outcome{err: err, untried: true}
	k.enter(name, o, k.record(name).cause(o, !k.ready), started)
}

const lateNotice = "changes by others may be noticed by the slow check only"

// deafness is a note about tenants whose parameters cannot be watched; empty if there are none.
func (k *keeper) deafness() []string {
	if len(k.deaf) == 0 {
		return nil
	}
	name := slices.Min(slices.Collect(maps.Keys(k.deaf)))
	return []string{fmt.Sprintf("%s, tenants: %d, one of them %s: %v", lateNotice, len(k.deaf), name, k.deaf[name])}
}

// number has a tenant's namespace heard, if it has one, and the one that it had before no more.
func (k *keeper) number(name string) {
	space, err := k.space(name)
	for old, other := range k.spaces {
		if other == name && old != space {
			delete(k.spaces, old)
			err = errors.Join(err, k.watch.Forget(old))
		}
	}
	if err == nil {
		delete(k.deaf, name)
	} else {
		if len(k.deaf) == 0 {
			k.opts.Log.Warn(lateNotice, "tenant", name, "err", err)
		}
		k.deaf[name] = err
	}
	if space != trigger.Host {
		k.spaces[space] = name
	}
}

// space is the number of a tenant's namespace, [trigger.Host] if it has none.
func (k *keeper) space(name string) (trigger.Space, error) {
	ns, err := netns.Open(k.opts.Prefix + topology.NamespacePrefix + name)
	if err != nil {
		return trigger.Host, nil // the look will tell, or make it
	}
	space, err := k.watch.ID(ns)
	return space, errors.Join(err, ns.Close())
}

func (k *keeper) forget(name string) {
	delete(k.records, name)
	delete(k.record("").owing, name)
	k.number(name)
	delete(k.deaf, name)
}

// hostFailed notes what keeps all tenants from being looked at, and has everything looked at again later.
func (k *keeper) hostFailed(err error, now time.Time) {
	if errors.Is(err, context.Canceled) {
		return
	}
	wait := backOff(k.fullTries)
	k.fullTries++
	if errors.Is(err, agent.ErrLocked) {
		wait = firstRetry // it has waited already
	}
	k.full = now.Add(wait)
	if k.hostError == nil || k.hostError.Error != err.Error() {
		k.opts.Log.Error("host", "err", err, "retry", wait)
	}
	k.hostError = since(k.hostError, err, now)
}

func (k *keeper) hostWell() {
	k.full, k.fullTries, k.hostError = time.Time{}, 0, nil
}
