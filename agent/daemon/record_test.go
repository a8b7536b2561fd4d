package daemon

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/topology"
)

var (
	epoch  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	writes = outcome{changes: []agent.Change{{Verb: "add", Text: "route 10.0.0.1/32 dev tap-a"}}}
	broken = outcome{err: errors.New("no such device"), untried: true}
)

// look enters an outcome that took no time.
func (r *record) look(o outcome, at time.Time) cause {
	why := r.cause(o, false)
	r.take(o, why, "g1", at, at)
	return why
}

// TestBackOff doubles the time between failures up to a limit, and forgets it with the first success.
func TestBackOff(t *testing.T) {
	r := &record{}
	r.want(&topology.Tenant{}, epoch, causeFleet)
	var waits []time.Duration
	now := epoch
	for range 12 {
		r.look(broken, now)
		waits = append(waits, r.due.Sub(now))
		if r.due != r.Retry || r.State != Failed || r.Error.Since != epoch {
			t.Fatalf("record after a failure: %+v", r)
		}
		now = r.due
	}
	want := []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000}
	for i := range want {
		want[i] *= time.Millisecond
	}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	r.look(outcome{}, now)
	if r.State != Converged || r.Error != nil || !r.Retry.IsZero() || !r.due.IsZero() {
		t.Errorf("record after a success: %+v", r)
	}
	r.look(broken, now)
	if got := r.due.Sub(now); got != firstRetry {
		t.Errorf("first retry after %v, want %v", got, firstRetry)
	}
}

// TestNotificationDuringBackOff brings the next try forward, but not at once: it may be of the try's own writes.
func TestNotificationDuringBackOff(t *testing.T) {
	r := &record{}
	for range 8 {
		r.look(broken, epoch)
	}
	r.ask(epoch)
	if got, retry := r.due.Sub(epoch), r.Retry.Sub(epoch); got != retry/4 {
		t.Errorf("next try after %v, want a quarter of %v", got, retry)
	}
}

func TestCauses(t *testing.T) {
	r := &record{}
	r.want(&topology.Tenant{}, epoch, causeFleet)
	step := func(what string, o outcome, want cause) {
		t.Helper()
		if got := r.look(o, epoch); got != want {
			t.Errorf("%s: cause %s, want %s", what, got, want)
		}
	}
	waiting, came := outcome{waiting: []string{"tap-a", "tap-b"}}, writes
	came.came, came.waiting = true, []string{"tap-b"}
	step("first", broken, causeFleet)
	step("again", waiting, causeRetry)
	if r.State != Waiting {
		t.Errorf("state %s", r.State)
	}
	step("a device came", came, causeDevice)
	step("somebody changed something", writes, causeDrift)
	if r.Drift != 1 || r.Repaired == nil || !slices.Equal(r.Repaired.Changes, []string{"+ route 10.0.0.1/32 dev tap-a"}) {
		t.Errorf("drift %d, repaired %+v", r.Drift, r.Repaired)
	}
	r.want(&topology.Tenant{}, epoch, causeFleet)
	step("another fleet", writes, causeFleet)
	if r.Drift != 1 {
		t.Errorf("a new fleet's changes count as drift: %d", r.Drift)
	}
	settles, flipped := writes, outcome{meddled: true}
	settles.settles = true
	step("the end of that", settles, causeSettle)
	step("somebody changed what is put back later", flipped, causeDrift)
	step("not yet", outcome{}, causeDrift)
	step("it is put back", settles, causeDrift)
	if r.Drift != 2 {
		t.Errorf("drift %d, want 2", r.Drift)
	}
	step("the end of something else", settles, causeSettle)
	r.want(&topology.Tenant{}, epoch, causeFleet)
	step("a daemon found it so at its start", flipped, causeFleet)
	step("it is put back", settles, causeSettle)
	fresh := &record{}
	if got := fresh.cause(writes, true); got != causeStart {
		t.Errorf("cause %s, want %s", got, causeStart)
	}
}

// TestRepairLines tells of a large repair what there is room for, and how much there was beside it.
func TestRepairLines(t *testing.T) {
	few, many := repair(epoch, slices.Repeat(writes.changes, repairLines)).Changes, repair(epoch, slices.Repeat(writes.changes, 199)).Changes
	if len(few) != repairLines || len(many) != repairLines+1 || many[repairLines] != "and 179 more" {
		t.Errorf("%d lines, and %q", len(few), many)
	}
}

// TestFight has somebody undo every change: looks get rarer, but one comes within the second.
func TestFight(t *testing.T) {
	r := &record{}
	now, looks := epoch, 0
	for ; now.Before(epoch.Add(10 * time.Second)); looks++ {
		r.look(writes, now)
		r.ask(now) // the kernel tells of every write
		if wait := r.due.Sub(now); wait > longest {
			t.Fatalf("look %d comes %v after the one before", looks, wait)
		}
		now = r.due
	}
	if looks > 30 {
		t.Errorf("%d looks in 10 s", looks)
	}
	r.look(outcome{}, now)
	r.ask(now)
	if got := r.due.Sub(now); got != calm {
		t.Errorf("after the fight a look comes %v after the one before, want %v", got, calm)
	}
}

// TestStorm has notifications come all the time for a tenant that takes long to look at: it gets a quarter of the time.
func TestStorm(t *testing.T) {
	r := &record{}
	now, busy := epoch, time.Duration(0)
	for now.Before(epoch.Add(time.Minute)) {
		end := now.Add(100 * time.Millisecond)
		r.take(outcome{}, causeDrift, "g1", now, end)
		busy += end.Sub(now)
		r.ask(end)
		now = r.due
	}
	if busy > 16*time.Second {
		t.Errorf("busy for %v of a minute", busy)
	}
}

func TestAskKeepsTheEarliest(t *testing.T) {
	r := &record{}
	r.ask(epoch.Add(time.Hour))
	r.ask(epoch.Add(time.Minute))
	r.ask(epoch.Add(2 * time.Minute))
	if r.due != epoch.Add(time.Minute) {
		t.Errorf("due %v", r.due)
	}
}
