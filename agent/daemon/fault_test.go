package daemon

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/overlay"
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

// failing is an agent of a host where a parameter of each tenant cannot be written. What else fails is told by before: a plan of
// tenants, or the host's own part, before which nothing is tried.
type failing struct {
	*stub
	before *string
}

var forwarding = overlay.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"}

func (f failing) PlanOnly(_ topology.Host, names []string) (p agent.Plan, err error) {
	if *f.before == "plan" && len(names) > 0 {
		return p, errors.New("no such device")
	}
	for _, name := range names {
		place := overlay.Place(topology.NamespacePrefix + name)
		p.Overlay.Steps = append(p.Overlay.Steps, overlay.Step{Place: place, Verb: overlay.Change, Object: forwarding, Old: forwarding})
	}
	return p, nil
}

func (f failing) Apply(p agent.Plan) error {
	if *f.before == "host" {
		return agent.Failures{{Place: overlay.HostPlace, Err: errors.New("no guard")}}
	}
	var out agent.Failures
	for _, s := range p.Overlay.Steps {
		out = append(out, agent.Failure{Place: s.Place, Err: overlay.Failure{Step: s, Err: errors.New("read-only file system")}})
	}
	return out
}

// TestFaultsNotTried has errors between two tries, before any object is tried: none has succeeded, so each goes on failing.
func TestFaultsNotTried(t *testing.T) {
	for before, complaint := range map[string]string{"plan": "no such device", "host": "no guard"} {
		t.Run(before, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, now := &stub{}, ""
				k := stubbed(t, s)
				k.agent = failing{s, &now}
				began := time.Now()
				for i, want := range []string{"read-only file system", complaint, "read-only file system"} {
					now = ""
					if i == 1 {
						now = before
					}
					k.work(t.Context())
					r := k.records["acme"]
					if r.Error == nil || !strings.Contains(r.Error.Error, want) {
						t.Fatalf("try %d: error %+v, want %q", i, r.Error, want)
					}
					if len(r.Faults) != 1 || !r.Faults[0].Since.Equal(began) {
						t.Errorf("try %d: faults %+v, want the parameter's since %v", i, r.Faults, began)
					}
					time.Sleep(time.Until(r.due))
				}
				k.agent = s
				k.work(t.Context())
				if r := k.records["acme"]; len(r.Faults) != 0 || r.Error != nil {
					t.Errorf("when it works: %+v, %+v", r.Error, r.Faults)
				}
			})
		})
	}
}
