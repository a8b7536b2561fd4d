package daemon

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
	"github.com/culvertnet/culvert/trigger"
)

// keeper is the task that looks and changes. It alone knows the agent.
type keeper struct {
	opts  Options
	agent changer
	watch *trigger.Watch
	queue *queue
	board *board
	// busy is when the work under way came further last, in nanoseconds since 1970; 0 if there is none.
	busy atomic.Int64

	verdicts *verdicts
	probes   *probesTask

	// balanced are the tenants with IPVS services here, for the task that compares them.
	balanced atomic.Pointer[[]string]

	// host is what the host must hold; nil before the first fleet.
	host       *topology.Host
	lock       *portmap.Lock
	generation string
	notes      []string
	// lacks are notes about what this kernel cannot do, as looks have met them.
	lacks   []string
	refused *Incident
	away    *Incident
	unkept  *Incident
	// arrived is when the fleet came that the host has not converged to yet; zero if it has.
	arrived   time.Time
	converged *Convergence
	// records are the tenants' by name, and the host's own part without one.
	records map[string]*record
	// spaces are the tenants' namespaces as the kernel numbers them.
	spaces map[trigger.Space]string
	// full is when to look at everything at once, zero for never; check is when the next round of the slow check begins.
	full, check time.Time
	fullTries   int
	// whole is when to look at everything at once again because the last time it came to looks at single tenants, so many times
	// in a row (pieces); zero for never.
	whole     time.Time
	pieces    int
	hostError *Incident
	underlay  underlay
	ready     bool
	// reloading is true until a reload is done, answered once the source has said what it has.
	reloading, answered bool
	changes, drift      int
	// deaf are the tenants whose parameters cannot be watched, and why.
	deaf map[string]error
}

// changer is what of an [agent.Agent] looks and changes.
type changer interface {
	PlanHost(host topology.Host) (agent.Plan, error)
	PlanOnly(host topology.Host, names []string) (agent.Plan, error)
	Announce(p agent.Plan) (map[overlay.Place]time.Time, error)
	Try(p agent.Plan, held map[agent.Object]error) agent.Attempt
	Settling() map[overlay.Place]time.Time
	Known() map[overlay.Place]nft.Known
	Doubt()
}

// underlay is what all tenants' devices depend on.
type underlay struct {
	device string
	mtu    int
}

func newKeeper(o Options, a *agent.Agent, w *trigger.Watch, q *queue, b *board) *keeper {
	k := &keeper{
		opts: o, agent: a, watch: w, queue: q, board: b, probes: newProbesTask(o.Prefix, q),
		records: make(map[string]*record), spaces: make(map[trigger.Space]string), deaf: make(map[string]error),
	}
	_, carried := o.Source.(source.Carrier)
	var err error
	if k.verdicts, err = newVerdicts(o.Name, o.Verdicts, carried); err != nil {
		o.Log.Warn("sick backends count as healthy until they have been probed", "err", err)
	}
	known, err := readKnown(o.Known)
	if err != nil {
		o.Log.Warn("all rules are read", "err", err)
	}
	a.Believe(known)
	a.OnProgress(func() { k.busy.Store(time.Now().UnixNano()) })
	return k
}

func (k *keeper) String() string { return "keeper" }

// Run works whenever there is news or something is due.
func (k *keeper) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			k.keepKnown()
			return nil
		case <-k.queue.ready:
		case <-timer.C:
		}
		k.busy.Store(time.Now().UnixNano())
		k.hear(k.queue.take())
		k.work(ctx)
		k.report()
		k.busy.Store(0)
		timer.Reset(time.Until(k.next()))
	}
}

// hear takes the news in.
func (k *keeper) hear(n news) {
	now := time.Now()
	if n.all {
		k.reloading, k.answered = true, false
		k.full, k.lacks = now, nil // somebody may have loaded a module
		k.agent.Doubt()
	}
	if n.snapshot != nil {
		k.adopt(*n.snapshot, now)
	}
	k.judge(n.verdicts, now)
	if n.refused != nil {
		k.refuse(n.refused, now)
	}
	for e := range n.events {
		k.notice(e, now)
	}
}

// refuse keeps the fleet that is in force: the newer one is wrong, or its source is away.
func (k *keeper) refuse(err error, now time.Time) {
	k.answered = true
	if away := (source.Away{}); errors.As(err, &away) {
		k.away = since(k.away, err, now)
		args := []any{"fleet", k.opts.Source.String(), "err", err}
		if k.host != nil {
			args = append(args, "stays", k.generation)
		}
		k.opts.Log.Error("source away", args...)
		return
	}
	k.refused, k.away = since(k.refused, err, now), nil
	k.opts.Log.Error("fleet refused", "fleet", k.opts.Source.String(), "stays", k.generation, "err", err)
}

// accept notes that nothing is wrong with the fleet in force, nor with its source.
func (k *keeper) accept() { k.answered, k.refused, k.away = true, nil, nil }

// hearUnkept takes in whether a start without the source would go back behind the fleet that is in force.
func (k *keeper) hearUnkept(err error, now time.Time) {
	if err == nil {
		if k.unkept != nil {
			k.opts.Log.Info("fleet kept", "fleet", k.opts.Source.String(), "after", now.Sub(k.unkept.Since).Round(time.Millisecond))
		}
		k.unkept = nil
		return
	}
	if next := since(k.unkept, err, now); next != k.unkept {
		k.unkept = next
		k.opts.Log.Error("fleet not kept", "fleet", k.opts.Source.String(), "err", err)
	}
}

// adopt makes a fleet the one in force. Tenants that it does not change are not looked at.
func (k *keeper) adopt(s source.Snapshot, now time.Time) {
	k.hearVerdicts(s.Sick, now)
	k.hearUnkept(s.Unkept, now)
	old := k.host
	if old != nil && s.Generation == k.generation {
		k.accept()
		return
	}
	host, err := topology.For(s.Fleet, s.Lock, k.opts.Name)
	if err != nil {
		k.refuse(err, now)
		return
	}
	k.accept()
	k.judgeAll(&host)
	k.host, k.generation, k.notes = &host, s.Generation, append(agent.Notes(s.Fleet), k.untold(s.Fleet)...)
	k.lacks = nil
	k.balanced.Store(balancedBy(host))
	k.lock = s.Lock
	k.board.post(host, k.lock)
	if k.arrived.IsZero() {
		k.arrived = now
	}
	if old == nil {
		k.check = now.Add(k.opts.Check)
	}
	if old == nil || old.Underlay != host.Underlay || old.Port != host.Port || old.Uplink != host.Uplink {
		k.full = now
	}
	if old == nil || !slices.Equal(old.Underlays, host.Underlays) {
		k.record("").want(nil, now, causeFleet) // the guard is not only its tenants'
	}
	changed := k.compare(old, host, now)
	k.opts.Log.Info("fleet", "generation", s.Generation, "tenants", len(host.Tenants), "changed", changed)
}

// balancedBy lists the tenants whose load the host balances.
func balancedBy(host topology.Host) *[]string {
	var names []string
	for _, t := range host.Tenants {
		if t.Balancer {
			names = append(names, t.Name)
		}
	}
	return &names
}

// compare asks for a look at every tenant that another fleet changes, and returns their number.
func (k *keeper) compare(old *topology.Host, host topology.Host, now time.Time) int {
	was := make(map[string]topology.Tenant)
	if old != nil {
		for _, t := range old.Tenants {
			was[t.Name] = t
		}
	}
	changed := 0
	for i := range host.Tenants {
		t := &host.Tenants[i]
		r := k.record(t.Name)
		before, there := was[t.Name]
		delete(was, t.Name)
		if there && r.wanted != nil && reflect.DeepEqual(before, *t) {
			r.wanted = t
			if r.settled && r.Error == nil {
				r.Generation = k.generation
			}
			continue
		}
		changed++
		r.want(t, now, causeFleet)
	}
	for name := range was {
		changed++
		k.record(name).want(nil, now, causeFleet)
	}
	return changed
}

// record returns a tenant's record. A tenant that the fleet does not have gets one whose namespace must go.
func (k *keeper) record(name string) *record {
	r := k.records[name]
	if r == nil {
		r = &record{Tenant: Tenant{Name: name, State: Pending}}
		k.records[name] = r
	}
	return r
}

// work does what is due.
func (k *keeper) work(ctx context.Context) {
	now := time.Now()
	if k.host == nil || ctx.Err() != nil {
		return
	}
	if !k.check.After(now) {
		k.round(now)
	}
	if !k.full.IsZero() {
		if !k.full.After(now) {
			k.lookAtAll(ctx)
		}
		return // what is due for tenants is part of it
	}
	if !k.whole.IsZero() && !k.whole.After(now) {
		k.lookAtAll(ctx)
		return
	}
	if names := k.due(now); len(names) > 0 {
		k.look(ctx, names)
	}
}

// batch is how many tenants are looked at before the news is heard again. Those that the fleet changed are looked at all at
// once: a device may move from one to the other.
const batch = 16

// due returns the tenants to be looked at now, those that waited longest first.
func (k *keeper) due(now time.Time) []string {
	var names, others []string
	for name, r := range k.records {
		switch {
		case r.due.IsZero() || r.due.After(now):
		case r.changed:
			names = append(names, name)
		default:
			others = append(others, name)
		}
	}
	if room := batch - len(names); room > 0 && len(others) > 0 {
		slices.SortFunc(others, func(a, b string) int {
			return cmp.Or(k.records[a].due.Compare(k.records[b].due), cmp.Compare(a, b))
		})
		names = append(names, others[:min(room, len(others))]...)
	}
	slices.Sort(names)
	return names
}

// next is when work will be due.
func (k *keeper) next() time.Time {
	if k.host == nil {
		return time.Now().Add(time.Hour)
	}
	next := k.check
	if !k.full.IsZero() {
		return slices.MinFunc([]time.Time{next, k.full}, time.Time.Compare)
	}
	if !k.whole.IsZero() && k.whole.Before(next) {
		next = k.whole
	}
	for _, r := range k.records {
		if !r.due.IsZero() && r.due.Before(next) {
			next = r.due
		}
	}
	return next
}

// round begins a round of the slow check: all tenants, and namespaces that look like one, one after the other. Rules are read, also those
// that are known to be right.
func (k *keeper) round(now time.Time) {
	k.keepKnown()
	k.agent.Doubt()
	k.check = now.Add(k.opts.Check)
	k.recordSpaces()
	k.record("")
	for i, name := range slices.Sorted(maps.Keys(k.records)) {
		k.records[name].ask(now.Add(k.opts.Check * time.Duration(i) / time.Duration(len(k.records))))
	}
}

// recordSpaces has a record for each namespace that looks like a tenant's.
func (k *keeper) recordSpaces() {
	begin := k.opts.Prefix + topology.NamespacePrefix
	names, err := netns.List(begin)
	if err != nil {
		k.opts.Log.Warn("slow check", "err", err)
	}
	for _, name := range names {
		k.record(strings.TrimPrefix(name, begin))
	}
}
