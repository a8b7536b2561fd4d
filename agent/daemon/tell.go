package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/culvertnet/culvert/topology"
)

// logLines is how many lines of one tenant's changes are logged; the rest is counted.
const logLines = 50

// tell logs what a look did to a tenant: a line for each change, and a failure when it is new.
func (k *keeper) tell(r *record, o outcome, why cause) {
	level := slog.LevelInfo
	if why == causeDrift {
		level = slog.LevelWarn
	}
	for _, c := range o.changes[:min(len(o.changes), logLines)] {
		k.opts.Log.Log(context.Background(), level, "changed", "tenant", r.Name, "cause", string(why), "change", c.String())
	}
	if more := len(o.changes) - logLines; more > 0 {
		k.opts.Log.Log(context.Background(), level, "changed more", "tenant", r.Name, "cause", string(why), "changes", more)
	}
	switch {
	case o.err != nil && (r.Error == nil || r.Error.Error != o.err.Error()):
		k.opts.Log.Error("failed", "tenant", r.Name, "err", o.err)
	case o.err == nil && r.Error != nil && !o.owed:
		k.opts.Log.Info("recovered", "tenant", r.Name, "after", time.Since(r.Error.Since).Round(time.Millisecond))
	}
}

// large reports whether a host has so many VMs that what is left of reading about them is worth giving back at once.
func large(host *topology.Host) bool {
	const many = 10_000
	vms := 0
	for i := range host.Tenants {
		vms += len(host.Tenants[i].Interfaces) + len(host.Tenants[i].Remote)
	}
	return vms >= many
}

// report finds out whether the host is where the fleet wants it, and publishes the status.
func (k *keeper) report() {
	now := time.Now()
	counts := make(map[State]int)
	pending := false
	for _, r := range k.records {
		counts[r.State]++
		pending = pending || r.changed
	}
	looked := k.host != nil && k.full.IsZero() && !pending
	// What no tenant has, as the namespace of one that the fleet has lost, only a look at everything finds.
	if looked && k.whole.IsZero() && !k.arrived.IsZero() && counts[Failed]+counts[Pending] == 0 {
		k.converged = &Convergence{Generation: k.generation, At: now, Took: now.Sub(k.arrived)}
		k.opts.Log.Info("converged", "generation", k.generation, "tenants", len(k.host.Tenants), "took", k.converged.Took.Round(time.Microsecond))
		k.keepKnown()
		if large(k.host) {
			// A document's tree and a plan for all take many times what stays of them.
			go debug.FreeOSMemory()
		}
		k.arrived = time.Time{}
	}
	became := looked && !k.ready
	k.ready = k.ready || looked
	k.publish()
	k.relay()
	if became {
		k.opts.Service.ready()
	}
	if k.reloading && looked && k.answered {
		k.reloading = false
		k.opts.Service.ready()
	}
	k.opts.Service.status(k.summary(counts))
}

// publish copies the records to the board.
func (k *keeper) publish() {
	tenants := make([]Tenant, 0, len(k.records))
	var host *record
	for _, name := range slices.Sorted(maps.Keys(k.records)) {
		switch r := k.records[name]; {
		case name == "":
			host = r
		case r.wanted != nil || r.State == Failed || r.changed:
			tenants = append(tenants, r.Tenant)
		}
	}
	next, sick, lacks := k.next(), k.sickBackends(), slices.Concat(k.lacks, k.deafness())
	k.board.set(func(s *Status) {
		s.Next, s.Sick = next, sick
		s.Generation, s.Refused, s.Away, s.Unkept, s.Ready, s.Converged = k.generation, k.refused, k.away, k.unkept, k.ready, k.converged
		s.Changes, s.Drift, s.Tenants, s.Error = k.changes, k.drift, tenants, k.hostError
		s.Notes, s.Lacking = slices.Concat([]string{}, k.notes, lacks), len(lacks)
		if host != nil {
			s.HostDrift, s.HostFaults = host.Repaired, host.Faults
			s.Error = cmp.Or(s.Error, host.Error)
		}
	})
}

// summary is the status on one line, for `systemctl status`.
func (k *keeper) summary(counts map[State]int) string {
	if k.host == nil {
		switch {
		case k.refused != nil:
			return "the fleet is refused: " + k.refused.Error
		case k.away != nil:
			return "waiting for the fleet, its source is away: " + k.away.Error
		default:
			return "waiting for the fleet"
		}
	}
	text := fmt.Sprintf("generation %s, tenants: %d", k.generation, len(k.host.Tenants))
	for _, s := range []State{Waiting, Pending, Failed} {
		if n := counts[s]; n > 0 {
			text += fmt.Sprintf(", %s: %d", s, n)
		}
	}
	if k.refused != nil {
		text += "; a newer fleet is refused"
	}
	if k.away != nil {
		text += "; the fleet's source is away"
	}
	if k.unkept != nil {
		text += "; the fleet is not kept"
	}
	return text
}
