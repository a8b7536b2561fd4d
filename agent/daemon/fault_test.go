package daemon

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/topology"
)

// TestFaults follows objects over tries: how long each fails is its own matter, whatever the reason, and a success ends all.
func TestFaults(t *testing.T) {
	r := &record{}
	r.want(&topology.Tenant{}, epoch, causeFleet)
	fails := func(after time.Duration, objects ...string) {
		o := outcome{err: errors.New("no")}
		for _, name := range objects {
			o.faults = append(o.faults, agent.Fault{Kind: agent.OverlayChange, Object: name, Err: fmt.Errorf("%v", after)})
		}
		r.look(o, epoch.Add(after))
	}
	fails(0, "a", "b")
	fails(time.Second, "b", "c", "b")
	want := []Fault{
		{agent.OverlayChange, "b", Incident{"1s", epoch}},
		{agent.OverlayChange, "c", Incident{"1s", epoch.Add(time.Second)}},
	}
	if len(r.Faults) != 2 || r.Faults[0] != want[0] || r.Faults[1] != want[1] {
		t.Errorf("faults %+v, want %+v", r.Faults, want)
	}
	many := make([]string, 3*maxFaults)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	fails(2*time.Second, many...)
	if len(r.Faults) != maxFaults {
		t.Errorf("%d faults, want %d", len(r.Faults), maxFaults)
	}
	r.look(outcome{}, epoch.Add(3*time.Second))
	if len(r.Faults) != 0 {
		t.Errorf("after a success: %+v", r.Faults)
	}
}
