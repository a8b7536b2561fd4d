package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/urfave/cli/v2"

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

// TestFilesBeforeEnvironment names files on the command line where the environment names etcd: the files are read. Files that the
// environment names give way to etcd.
func TestFilesBeforeEnvironment(t *testing.T) {
	t.Setenv("CULVERT_SOURCE", "etcd://127.0.0.1:1")
	missing := filepath.Join(t.TempDir(), "fleet.yaml")
	for _, tt := range []struct {
		name, variable string
		words          []string
		etcd           bool
	}{
		{"a flag", "", []string{"-f", missing}, false},
		{"a flag beside its variable", missing + "2", []string{"-f", missing}, false},
		{"the lock's flag", "", []string{"--lock", missing}, false},
		{"nothing", "", nil, true},
		{"a variable", missing, nil, true},
	} {
		t.Setenv("CULVERT_FLEET", tt.variable)
		if tt.variable == "" {
			if err := os.Unsetenv("CULVERT_FLEET"); err != nil { // until the test ends
				t.Fatal(err)
			}
		}
		var got bool
		file, lock, stored := *fleetFlag, *lockFlag, *sourceFlag // flags remember that the environment has set them
		app := &cli.App{
			Flags:  []cli.Flag{&file, &lock, &stored},
			Action: func(c *cli.Context) error { got = fromEtcd(c); return oneSource(c) },
		}
		if err := app.Run(append([]string{"culvert"}, tt.words...)); err != nil || got != tt.etcd {
			t.Errorf("%s: from etcd %v, %v; want %v", tt.name, got, err, tt.etcd)
		}
	}
}
