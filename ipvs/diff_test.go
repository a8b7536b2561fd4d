package ipvs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/ipvs/maglev"
	"github.com/culvertnet/culvert/topology"
)

// TestPlans keeps the text of plans from one state to another.
func TestPlans(t *testing.T) {
	type backends = []topology.Backend
	drain := func(b backends) backends { b[1].Draining = true; return b }
	other := func(edit func(*State)) State {
		s := Desired(tenant())
		edit(&s)
		return s
	}
	first := func(s *State) *Service { return &s.Services[slices.IndexFunc(s.Services, isWeb)] }
	for _, tt := range []struct {
		name          string
		before, after State
	}{
		{"from nothing", State{}, Desired(tenant())},
		{"from nothing on the only node", State{}, Desired(alone(tenant()))},
		{"from nothing while one drains", State{}, Desired(alone(with(drain)))},
		{"to nothing", Desired(tenant()), State{}},
		{"drain", Desired(tenant()), Desired(with(drain))},
		{"drain on the only node", Desired(alone(tenant())), Desired(alone(with(drain)))},
		{"weight 0", Desired(tenant()), Desired(with(func(b backends) backends { b[1].Weight = 0; return b }))},
		{"end of a drain", Desired(with(drain)), Desired(tenant())},
		{"removal after a drain", Desired(with(drain)), Desired(with(func(b backends) backends { return slices.Delete(b, 1, 2) }))},
		{"other weight while it drains", Desired(with(drain)), Desired(with(func(b backends) backends { drain(b)[1].Weight = 5; return b }))},
		{"other weight", Desired(tenant()), Desired(with(func(b backends) backends { b[0].Weight = 7; return b }))},
		{"missed the first", Desired(with(func(b backends) backends { return b[1:] })), Desired(tenant())},
		{"missed the last", Desired(with(func(b backends) backends { return b[:2] })), Desired(tenant())},
		{"host of a backend is down", Desired(tenant()), Desired(with(func(b backends) backends { b[0].Down = true; return b }))},
		{"no backend", Desired(tenant()), Desired(with(func(backends) backends { return nil }))},
		{"second node", Desired(alone(tenant())), Desired(tenant())},
		{"last node", Desired(tenant()), Desired(alone(tenant()))},
		{"killed in the window", other(func(s *State) { set(s, cautious) }), Desired(tenant())},
		{"killed while destinations came again", other(func(s *State) { set(s, waiting); first(s).Destinations = first(s).Destinations[:1] }), Desired(tenant())},
		{"device made anew", other(func(s *State) { s.Daemons[0].deaf, s.Daemons[1].deaf = true, true }), Desired(tenant())},
		{"another hand", other(func(s *State) {
			first(s).Scheduler, first(s).Flags = "rr", 0
			first(s).Destinations[0].Nominal, first(s).Destinations[1].flaw = 0, "method 0"
			s.Services = append(s.Services, Service{Name: Name{mark: 7, family: 2}, Scheduler: "rr"}, Service{Name: name("tcp", "45.86.152.99:1"), Scheduler: "mh", Flags: maglev.Port})
		}), Desired(tenant())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if p := Diff(tt.after, tt.after); !p.Empty() {
				t.Errorf("a plan from the state to itself:\n%s", p)
			}
			p := Diff(tt.before, tt.after)
			if p.Empty() || p.Settles() != strings.Contains(p.String(), fmt.Sprintf("sloppy_tcp=1 (after %s)", SettleTime)) {
				t.Error("what the plan says of itself is wrong")
			}
			compare(t, "plan-"+strings.ReplaceAll(tt.name, " ", "-")+".txt", p.String())
		})
	}
}

func isWeb(s Service) bool { return s.Name == name("tcp", "45.86.152.23:443") }

// set changes a parameter.
func set(s *State, p Setting) {
	for i := range s.Settings {
		if s.Settings[i].Name == p.Name {
			s.Settings[i] = p
		}
	}
}

func TestDesired(t *testing.T) {
	compare(t, "state.txt", Desired(tenant()).String())
	for name, edit := range map[string]func(*topology.Tenant){
		"no node":      func(t *topology.Tenant) { t.Balancer, t.Self.Balancer = false, false },
		"no balancers": func(t *topology.Tenant) { t.Balancers = nil },
	} {
		other := tenant()
		edit(&other)
		if s := Desired(other); !s.Empty() || len(s.Settings) > 0 {
			t.Errorf("%s: wants\n%s", name, s)
		}
	}
}

func TestRender(t *testing.T) {
	text := strings.Join(Render("culvert-acme", Desired(with(func(b []topology.Backend) []topology.Backend { b[1].Draining = true; return b }))), "\n")
	compare(t, "render.txt", text+"\n")
}
