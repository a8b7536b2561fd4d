package daemon

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/trigger"
)

const fleetYAML = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
  - name: blue
    vni: 200
    interfaces:
      - {name: vm-z, host: hv1, device: tap-z, mac: "52:54:00:00:00:0c", addresses: [10.0.0.12]}
    natGateway: {addresses: [45.86.152.24], portsPerHost: 1024}
`

// desk is a keeper that only plans its work.
func desk(host string) *keeper {
	o := Options{Name: host, Source: source.NewFile("fleet.yaml", "fleet.lock.yaml"), Log: slog.New(slog.DiscardHandler)}
	o.setDefaults()
	return newKeeper(o, agent.Open(nil, "", host), nil, newQueue(), newBoard())
}

// give adopts a fleet, and settles all tenants.
func (k *keeper) give(t *testing.T, text, generation string, now time.Time) {
	t.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := portmap.Allocate(portmap.NewLock(), fleet)
	if err != nil {
		t.Fatal(err)
	}
	k.adopt(source.Snapshot{Fleet: fleet, Lock: lock, Generation: generation}, now)
}

// settle has all tenants found right, long ago.
func (k *keeper) settle() {
	k.full, k.arrived = time.Time{}, time.Time{}
	for _, r := range k.records {
		r.take(outcome{}, causeStart, k.generation, epoch, epoch)
	}
}

// asked lists the tenants that are to be looked at by the time.
func (k *keeper) asked(now time.Time) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(k.records)) {
		if r := k.records[name]; !r.due.IsZero() && !r.due.After(now) {
			out = append(out, "["+name+"]")
		}
	}
	return strings.Join(out, " ")
}

// TestAdopt goes from fleet to fleet: only what differs is looked at.
func TestAdopt(t *testing.T) {
	now := epoch.Add(time.Hour)
	change := func(old, text string) string { return strings.Replace(fleetYAML, old, text, 1) }
	for _, tt := range []struct {
		name, fleet string
		full        bool
		want        string
	}{
		{"the same", fleetYAML, false, ""},
		{"one tenant", change("10.0.0.12]}", "10.0.0.13]}"), false, "[acme]"},
		{"a tenant goes", fleetYAML[:strings.Index(fleetYAML, "  - name: blue")], false, "[blue]"},
		{"a tenant comes", fleetYAML + "  - name: cyan\n    vni: 300\n    interfaces:\n      - {name: vm-c, host: hv1, device: tap-c, mac: \"52:54:00:00:00:0d\", addresses: [10.0.0.1]}\n", false, "[cyan]"},
		{"another host", change("  - {name: edge1", "  - {name: hv3, underlay: 192.0.2.3, roles: [hypervisor]}\n  - {name: edge1"), false, "[] [acme] [blue]"},
		{"the host's underlay", change("192.0.2.1,", "192.0.2.9,"), true, "[acme] [blue]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := desk("hv1")
			k.give(t, fleetYAML, "one", epoch)
			if k.full.IsZero() {
				t.Error("the first fleet does not have everything looked at")
			}
			k.settle()
			k.give(t, tt.fleet, "two", now)
			if got := k.asked(now); got != tt.want || !k.full.IsZero() != tt.full {
				t.Errorf("looks at %s, all: %v; want %s, %v", got, !k.full.IsZero(), tt.want, tt.full)
			}
			if k.generation != "two" {
				t.Errorf("generation %s", k.generation)
			}
			for name, r := range k.records {
				if !r.changed && name != "" && r.Generation != "two" {
					t.Errorf("%s, which did not change, is of generation %s", name, r.Generation)
				}
			}
		})
	}
}

// TestAdoptAnotherHost has the guard, which is no tenant's, let another host in: the fleet's doing and nobody's drift, and not yet done.
func TestAdoptAnotherHost(t *testing.T) {
	k := desk("hv1")
	k.give(t, fleetYAML, "one", epoch)
	k.settle()
	k.give(t, strings.Replace(fleetYAML, "  - {name: edge1", "  - {name: hv3, underlay: 192.0.2.3, roles: [hypervisor]}\n  - {name: edge1", 1), "two", epoch)
	for name, r := range k.records {
		if name != "" {
			r.take(outcome{}, causeFleet, k.generation, epoch, epoch)
		}
	}
	if k.report(); k.converged != nil {
		t.Errorf("converged without the guard: %+v", k.converged)
	}
	host := k.records[""]
	if why := host.look(writes, epoch); why != causeFleet || host.Drift != 0 {
		t.Errorf("the guard's change has the cause %s, drift %d", why, host.Drift)
	}
	if k.report(); k.converged == nil {
		t.Error("not converged with the guard")
	}
}

// TestAdoptElsewhere refuses a fleet without this host and keeps the one in force.
func TestAdoptElsewhere(t *testing.T) {
	k := desk("hv1")
	k.give(t, fleetYAML, "one", epoch)
	k.settle()
	k.give(t, strings.ReplaceAll(fleetYAML, "hv1", "hv9"), "two", epoch)
	if k.generation != "one" || k.refused == nil || !strings.Contains(k.refused.Error, `no host "hv1"`) || k.asked(epoch.Add(time.Hour)) != "" {
		t.Errorf("generation %s, refused %+v", k.generation, k.refused)
	}
	k.give(t, fleetYAML, "three", epoch)
	if k.generation != "three" || k.refused != nil {
		t.Errorf("generation %s, refused %+v", k.generation, k.refused)
	}
}

// TestAway keeps apart a fleet that is refused and a source that cannot be reached.
func TestAway(t *testing.T) {
	k := desk("hv1")
	k.give(t, fleetYAML, "one", epoch)
	k.settle()
	k.refuse(errors.Join(source.NewAway(errors.New("no route")), errors.New("no cache")), epoch)
	if k.refused != nil || k.away == nil || k.away.Error != "no route\nno cache" || k.generation != "one" {
		t.Errorf("refused %+v, away %+v", k.refused, k.away)
	}
	k.refuse(errors.New("bad"), epoch)
	if k.refused == nil || k.away != nil {
		t.Errorf("refused %+v, away %+v: who refuses has heard the source", k.refused, k.away)
	}
	k.refuse(source.NewAway(errors.New("no route")), epoch)
	k.give(t, fleetYAML, "one", epoch)
	if k.refused != nil || k.away != nil {
		t.Errorf("refused %+v, away %+v", k.refused, k.away)
	}
}

// TestUnkept has a fleet that is in force and not kept: no refusal, and nobody is away.
func TestUnkept(t *testing.T) {
	k := desk("hv1")
	k.give(t, fleetYAML, "one", epoch)
	k.settle()
	s := source.Snapshot{Generation: "one", Unkept: errors.New("no space")}
	k.adopt(s, epoch)
	k.adopt(s, epoch.Add(time.Hour))
	if k.refused != nil || k.away != nil || k.unkept == nil || k.unkept.Error != "no space" || k.unkept.Since != epoch {
		t.Errorf("refused %+v, away %+v, unkept %+v", k.refused, k.away, k.unkept)
	}
	if got := k.summary(nil); !strings.HasSuffix(got, "; the fleet is not kept") {
		t.Errorf("summary %q", got)
	}
	k.give(t, fleetYAML, "one", epoch)
	if k.unkept != nil {
		t.Errorf("unkept %+v", k.unkept)
	}
}

// TestNotice says which tenants an event concerns.
func TestNotice(t *testing.T) {
	now := epoch.Add(time.Hour)
	for _, tt := range []struct {
		host  string
		event trigger.Event
		want  string
	}{
		{"hv1", trigger.Event{Kind: trigger.Rules, Space: 4}, "[acme]"},
		{"hv1", trigger.Event{Kind: trigger.Route, Space: 5}, "[blue]"},
		{"hv1", trigger.Event{Kind: trigger.Link, Space: 6}, ""}, // a namespace of somebody else's
		{"hv1", trigger.Event{Kind: trigger.Name, Space: trigger.Host, Name: "lab-culvert-blue"}, "[blue]"},
		{"hv1", trigger.Event{Kind: trigger.Name, Space: trigger.Host, Name: "lab-culvert-old"}, "[old]"},
		{"hv1", trigger.Event{Kind: trigger.Name, Space: trigger.Host, Name: "culvert-blue"}, ""},
		{"hv1", trigger.Event{Kind: trigger.Services, Space: trigger.Host, Name: "lab-culvert-acme"}, "[acme]"},
		{"hv1", trigger.Event{Kind: trigger.Lost}, "[] [acme] [blue]"},
		{"hv1", trigger.Event{Kind: trigger.Rules, Space: trigger.Host}, "[]"},
		{"hv1", trigger.Event{Kind: trigger.Link, Space: trigger.Host, Device: "tap-q"}, "[blue]"}, // which waits for it
		{"hv1", trigger.Event{Kind: trigger.Link, Space: trigger.Host, Device: "tap-a"}, "[acme]"}, // which fails
		{"hv1", trigger.Event{Kind: trigger.Link, Space: trigger.Host, Device: "tap-z"}, ""},
		{"hv1", trigger.Event{Kind: trigger.Link, Space: trigger.Host, Device: "other"}, ""},
		{"hv1", trigger.Event{Kind: trigger.Link, Space: trigger.Host, Device: "eth0"}, "[]"}, // the underlay
		{"hv1", trigger.Event{Kind: trigger.Address, Space: trigger.Host, Device: "other"}, "[]"},
		{"hv1", trigger.Event{Kind: trigger.Neighbour, Space: trigger.Host, Device: "eth0"}, ""},
		{"hv1", trigger.Event{Kind: trigger.Parameter, Space: trigger.Host}, ""},
		{"edge1", trigger.Event{Kind: trigger.Route, Space: trigger.Host, Device: "cv200"}, "[blue]"},
		{"edge1", trigger.Event{Kind: trigger.Route, Space: trigger.Host, Device: "eth1"}, ""}, // a routing daemon's
		{"edge1", trigger.Event{Kind: trigger.Parameter, Space: trigger.Host, Device: "eth1"}, "[acme]"},
	} {
		k := desk(tt.host)
		k.opts.Prefix = "lab-"
		k.notice(tt.event, now) // before the first fleet: nothing happens
		k.give(t, fleetYAML, "one", epoch)
		k.record("")
		k.settle()
		k.spaces[4], k.spaces[5] = "acme", "blue"
		k.underlay.device = "eth0"
		k.records["blue"].Waiting, k.records["acme"].State = []string{"tap-q"}, Failed
		k.notice(tt.event, now)
		if got := k.asked(now); got != tt.want {
			t.Errorf("%s: %+v: looks at %s, want %s", tt.host, tt.event, got, tt.want)
		}
	}
}

// TestRound spreads the slow check over its time.
func TestRound(t *testing.T) {
	k := desk("hv1")
	k.opts.Prefix = "nobody-has-this-"
	k.give(t, fleetYAML, "one", epoch)
	k.settle()
	k.round(epoch.Add(time.Hour))
	var dues []time.Duration
	for _, name := range []string{"", "acme", "blue"} {
		dues = append(dues, k.records[name].due.Sub(epoch.Add(time.Hour)))
	}
	if want := []time.Duration{0, k.opts.Check / 3, 2 * k.opts.Check / 3}; !slices.Equal(dues, want) {
		t.Errorf("looks after %v, want %v", dues, want)
	}
	if next := k.next(); next != epoch.Add(time.Hour) {
		t.Errorf("next at %v", next)
	}
}
