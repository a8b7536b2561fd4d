package main

import (
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

// TestMarkLost has hosts lost that reported once and let their lease end, but for who asks and what the fleet has down.
func TestMarkLost(t *testing.T) {
	var fleet config.Fleet
	var hosts []etcd.HostStatus
	for _, tt := range []struct {
		name           string
		state          config.HostState
		reported, live bool
	}{
		{"lives", config.Up, true, true},
		{"lost", config.Up, true, false},
		{"unseen", config.Up, false, false},
		{"down", config.Down, true, false},
		{"self", config.Up, true, false},
	} {
		fleet.Hosts = append(fleet.Hosts, config.Host{Name: tt.name, State: tt.state})
		hosts = append(hosts, etcd.HostStatus{Report: source.Report{Host: tt.name}, Reported: tt.reported, Live: tt.live})
	}
	markLost(&fleet, hosts, "self")
	for _, h := range fleet.Hosts {
		if lost := h.State == config.Lost; lost != (h.Name == "lost") {
			t.Errorf("%s: %s", h.Name, h.State)
		}
	}
}
