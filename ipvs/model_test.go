package ipvs

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs/maglev"
)

func name(protocol config.Protocol, address string) Name {
	return Name{Protocol: protocol, Address: netip.MustParseAddrPort(address)}
}

// model is what the kernel does with steps, as far as choices depend on it (ip_vs_ctl.c).
type model struct {
	services map[Name]*modelService
	settings map[string]string
}

type modelService struct {
	Service
	// list is the kernel's: a new destination goes to the head.
	list []modelDestination
}

type modelDestination struct {
	Destination
	// last is last_weight: the kernel's, not what we noted in the threshold.
	last int
}

// do carries out a step; what the kernel refuses is an error.
func (m *model) do(s Step) error {
	if s.Setting != nil {
		m.settings[s.Setting.Name] = s.Setting.Value
		return nil
	}
	have, ok := m.services[s.Service.Name]
	if s.Destination == nil {
		switch {
		case ok == (s.Verb == Add):
			return fmt.Errorf("%s: there is: %v", s, ok)
		case s.Verb == Remove:
			delete(m.services, s.Service.Name)
		case s.Verb == Add:
			m.services[s.Service.Name] = &modelService{Service: *s.Service}
		default:
			have.Scheduler, have.Flags = s.Service.Scheduler, s.Service.Flags
		}
		return nil
	}
	if !ok {
		return fmt.Errorf("%s: no such service", s)
	}
	i := slices.IndexFunc(have.list, func(d modelDestination) bool { return d.Address == s.Destination.Address })
	switch {
	case (i < 0) != (s.Verb == Add):
		return fmt.Errorf("%s: is at %d", s, i)
	case s.Verb == Remove:
		have.list = slices.Delete(have.list, i, i+1)
	case s.Verb == Add:
		have.list = slices.Insert(have.list, 0, modelDestination{*s.Destination, s.Destination.Weight})
	default:
		have.list[i].Destination = *s.Destination
		if s.Destination.Weight != 0 {
			have.list[i].last = s.Destination.Weight
		}
	}
	return nil
}

// state is what an observer sees.
func (m *model) state() State {
	var s State
	for _, v := range m.services {
		out := v.Service
		out.Destinations = nil
		for _, d := range slices.Backward(v.list) {
			out.Destinations = append(out.Destinations, d.Destination)
		}
		s.Services = append(s.Services, out)
	}
	for n, v := range m.settings {
		s.Settings = append(s.Settings, Setting{n, v})
	}
	return s.sorted()
}

// drawState draws services with destinations in any order, some of which drain.
func drawState(t *rapid.T, label string) State {
	s := State{Settings: settings()}
	for _, at := range []Name{name("tcp", "192.0.2.1:80"), name("udp", "192.0.2.1:80")} {
		if !rapid.Bool().Draw(t, label+" service") {
			continue
		}
		service := Service{Name: at, Scheduler: Scheduler, Flags: Flags}
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 6), 0, 6, rapid.ID).Draw(t, label+" destinations") {
			nominal := rapid.IntRange(1, 3).Draw(t, label+" weight")
			d := Destination{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 96, 0, byte(n)}), 80), Nominal: nominal, Weight: nominal}
			if rapid.IntRange(0, 3).Draw(t, label+" drains") == 0 {
				d.Weight = 0
			}
			service.Destinations = append(service.Destinations, d)
		}
		s.Services = append(s.Services, service)
	}
	return s.sorted()
}

// TestApplyReaches: from any state a plan reaches any other, also after a plan that was cut short; then nothing is left to do,
// and what the kernel does not show is right too: a node with another past has the same table.
func TestApplyReaches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{services: make(map[Name]*modelService), settings: make(map[string]string)}
		run := func(steps []Step) {
			for _, s := range steps {
				if err := m.do(s); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 3 {
			run(Diff(m.state(), drawState(t, "before")).Steps)
			cut := Diff(m.state(), drawState(t, "cut")).Steps
			run(cut[:rapid.IntRange(0, len(cut)).Draw(t, "steps")])
		}
		desired := drawState(t, "desired")
		before := m.state()
		p := Diff(before, desired)
		run(p.Steps)
		if diff := cmp.Diff(desired.String(), m.state().String()); diff != "" {
			t.Fatalf("after\n%s(-desired +reached)\n%s", p, diff)
		}
		if again := Diff(m.state(), desired); !again.Empty() {
			t.Fatalf("a second plan:\n%s", again)
		}
		for _, s := range desired.Services {
			m.checkTable(t, s)
		}
		checkStays(t, before, desired, p)
	})
}

// checkTable compares the table that the kernel has with that of a node that never had anything else.
func (m *model) checkTable(t *rapid.T, s Service) {
	var backends []maglev.Backend
	for _, d := range slices.Backward(m.services[s.Name].list) {
		backends = append(backends, maglev.Backend{Address: d.Address.Addr(), Port: d.Address.Port(), Weight: d.Weight, LastWeight: d.last})
	}
	if d := maglev.Compare(maglev.New(backends, 251), maglev.New(fresh(s), 251)); d.Moved != 0 {
		t.Errorf("%s: against a new node %s", s.Name, d)
	}
}

// fresh are the destinations with the history of a new node: added, and then drained.
func fresh(s Service) []maglev.Backend {
	var out []maglev.Backend
	for _, d := range s.Destinations {
		b := maglev.Added(d.Address.Addr(), d.Address.Port(), d.Nominal)
		if d.Weight == 0 {
			b = b.Changed(0)
		}
		out = append(out, b)
	}
	return out
}

// checkStays: what is in its place is not touched.
func checkStays(t *rapid.T, before, desired State, p Plan) {
	for _, s := range desired.Services {
		i := slices.IndexFunc(before.Services, func(o Service) bool { return o.Name == s.Name })
		if i < 0 {
			continue
		}
		for n, d := range s.Destinations {
			if n >= len(before.Services[i].Destinations) || before.Services[i].Destinations[n].Address != d.Address {
				break
			}
			if slices.ContainsFunc(p.Steps, func(step Step) bool {
				return step.Verb == Remove && step.Destination != nil && step.Service.Name == s.Name && step.Destination.Address == d.Address
			}) {
				t.Errorf("%s is removed although it is in its place:\n%s", d, p)
			}
		}
	}
}
