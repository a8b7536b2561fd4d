package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
	"github.com/culvertnet/culvert/topology"
)

// TestSickBackends prints who is sick, since when and why, for a host and for all hosts.
func TestSickBackends(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sick := source.Sick{
		Backend: topology.BackendID{Tenant: "acme", Balancer: "web", Interface: "vm-a"},
		Since:   now.Add(-90 * time.Second), Why: "probe tcp 10.0.0.12:80: connection refused",
	}
	other := sick
	other.Backend.Interface = "vm-b"
	status := daemon.Status{Host: "lb1", Ready: true, Sick: []daemon.SickBackend{{Sick: sick, Host: "hv1", Counts: true}, {Sick: other, Host: "hv2"}}}
	var out bytes.Buffer
	if err := printStatus(&out, status, now); err != nil {
		t.Fatal(err)
	}
	want := `
backend acme/web/vm-a on hv1: sick, since 1m30s ago:
  probe tcp 10.0.0.12:80: connection refused

backend acme/web/vm-b on hv2: sick, since 1m30s ago, gets new flows all the same:
  probe tcp 10.0.0.12:80: connection refused
`
	if !bytes.HasSuffix(out.Bytes(), []byte(want)) {
		t.Errorf("got:\n%s\nwant at the end:\n%s", &out, want)
	}
	if !status.Healthy() {
		t.Error("a sick backend makes the host fail")
	}

	out.Reset()
	hosts := []fleetHost{{etcd.HostStatus{Report: source.Report{Host: "hv1"}, Live: true, Reported: true, Sick: []source.Sick{sick}}, "converged"}}
	if err := printHosts(&out, 7, hosts, now); err != nil {
		t.Fatal(err)
	}
	want = `
backend acme/web/vm-a on hv1: sick, since 1m30s ago:
  probe tcp 10.0.0.12:80: connection refused
`
	if !bytes.HasSuffix(out.Bytes(), []byte(want)) {
		t.Errorf("got:\n%s\nwant at the end:\n%s", &out, want)
	}
}
