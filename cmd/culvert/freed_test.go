package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

// TestSettled asks in generation 20 about ports that were given up after generation 10.
func TestSettled(t *testing.T) {
	host := func(name, state string, converged int) fleetHost {
		report := source.Report{Host: name, Converged: fmt.Sprint(converged)}
		live := state != "lost" && state != "unseen" && state != "down"
		return fleetHost{etcd.HostStatus{Report: report, Live: live}, state}
	}
	for _, tt := range []struct {
		name    string
		owner   portmap.Claimant
		hosts   []fleetHost
		settled bool
	}{
		{"all know", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "behind", 11), host("hv2", "converged", 20)}, true},
		{"the owner does not", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "behind", 10), host("hv2", "converged", 20)}, false},
		{"another one does not", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "converged", 20), host("hv2", "failed", 10)}, false},
		{"another one is lost", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "converged", 20), host("hv2", "lost", 10)}, true},
		{"another one was never there", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "converged", 20), host("hv2", "unseen", 0)}, true},
		{"the owner is lost", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "lost", 10), host("hv2", "converged", 20)}, false},
		{"the owner is lost, and knew", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "lost", 15), host("hv2", "converged", 20)}, true},
		{"the owner was never there", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "unseen", 0), host("hv2", "converged", 20)}, false},
		{"the owner is down, and all keep it out", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "down", 10), host("hv2", "converged", 20)}, true},
		{"the owner is down, and not all have heard", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv1", "down", 10), host("hv2", "behind", 19)}, false},
		{"the owner has left, and all keep it out", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv2", "converged", 20), host("hv1", "stranger", 10)}, true},
		{"the owner has left, and not all have heard", portmap.Claimant{Host: "hv1"}, []fleetHost{host("hv2", "behind", 19), host("hv1", "stranger", 10)}, false},
		{"nobody knows the owner", portmap.Claimant{Interface: "vm-a"}, []fleetHost{host("hv1", "converged", 20), host("hv2", "lost", 10)}, false},
	} {
		s := settlement{20, tt.hosts, map[string]bool{}, nil}
		if got := s.settled(portmap.Freed{Claimant: tt.owner, After: 10}); got != tt.settled || got == (len(s.late) > 0) {
			t.Errorf("%s: settled %t, waiting for %q", tt.name, got, &s)
		}
		if !s.settled(portmap.Freed{Claimant: tt.owner}) {
			t.Errorf("%s: what is from a file is not settled", tt.name)
		}
	}
}

// TestFenced does not take an edge's ports because it is down: what it sends leaves by its own uplink.
func TestFenced(t *testing.T) {
	edge := config.Host{Name: "hv1", Roles: []config.Role{config.Hypervisor, config.Edge}, State: config.Down}
	was := &config.Fleet{Hosts: []config.Host{edge, {Name: "hv2", Roles: []config.Role{config.Hypervisor}}}}
	owner := func(converged string) []fleetHost {
		return []fleetHost{
			{etcd.HostStatus{Report: source.Report{Host: "hv1", Converged: converged}}, "down"},
			{etcd.HostStatus{Report: source.Report{Host: "hv2", Converged: "20"}, Live: true}, "converged"},
		}
	}
	f := portmap.Freed{Claimant: portmap.Claimant{Host: "hv1"}, After: 10}
	lock := &portmap.Lock{Tenants: map[string]*portmap.Tenant{"acme": {Freed: []portmap.Freed{f}}}}
	removed, demoted := &config.Fleet{Hosts: was.Hosts[1:]}, &config.Fleet{Hosts: []config.Host{{Name: "hv1"}}}
	for _, tt := range []struct {
		name, converged string
		fenced          []string
		settled         bool
	}{
		{"nobody cut it off", "10", nil, false},
		{"another one is cut off", "10", []string{"hv2"}, false},
		{"it is cut off", "10", []string{"hv1"}, true},
		{"it knew", "15", nil, true},
	} {
		s := settlement{20, owner(tt.converged), map[string]bool{}, unfenced(was, tt.fenced)}
		if got := s.settled(f); got != tt.settled || got == strings.Contains(s.String(), "cut its uplink, then push with --fenced hv1") {
			t.Errorf("%s: settled %t, waiting for %q", tt.name, got, &s)
		}
		for _, next := range []*config.Fleet{removed, demoted} {
			if err := s.gone(next, lock); (err == nil) != tt.settled || err != nil && !strings.Contains(err.Error(), "--fenced hv1") {
				t.Errorf("%s, and it leaves: %v", tt.name, err)
			}
		}
		if err := s.gone(was, lock); err != nil {
			t.Errorf("%s, and it stays: %v", tt.name, err)
		}
	}
}
