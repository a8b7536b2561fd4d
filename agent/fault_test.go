package agent

import (
	"errors"
	"fmt"
	"testing"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/overlay"
)

// TestFaults finds the objects in errors as Apply makes them, and none where there is none.
func TestFaults(t *testing.T) {
	no := errors.New("no")
	sysctl := overlay.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"}
	service := fmt.Errorf("change the load balancer of culvert-acme: %w", errors.Join(
		ipvs.Failure{Step: ipvs.Step{Verb: ipvs.Add, Setting: &ipvs.Setting{Name: "conntrack", Value: "1"}}, Err: no},
		ipvs.Failure{Step: ipvs.Step{Verb: ipvs.Add, Setting: &ipvs.Setting{Name: "sloppy_tcp", Value: "1"}}, Err: no}))
	err := errors.Join(
		Failure{"culvert-acme", overlay.Failure{Step: overlay.Step{Verb: overlay.Change, Object: sysctl, Old: sysctl}, Err: no}},
		Failure{"culvert-acme", rulesFailure{"culvert-acme", no}},
		Failure{"culvert-acme", service},
		errors.New("nothing can be opened"))
	got := Faults(err)
	kinds := []Kind{OverlayChange, RulesChange, BalanceChange, BalanceChange}
	if len(got) != len(kinds) {
		t.Fatalf("faults: %+v", got)
	}
	objects := make(map[string]bool)
	for i, f := range got {
		if f.Kind != kinds[i] || !errors.Is(f.Err, no) {
			t.Errorf("fault %d: %+v", i, f)
		}
		objects[f.Object] = true
	}
	if got[0].Object != "sysctl net/ipv4/ip_forward=1" || len(objects) != len(got) {
		t.Errorf("objects: %v", objects)
	}
	if got := Faults(errors.New("no")); len(got) != 0 {
		t.Errorf("of no object: %+v", got)
	}
}
