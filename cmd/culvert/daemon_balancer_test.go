package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/traffic"
)

// TestDaemonAnnounces changes a load balancer's backends and another tenant at once. A node tells the other nodes first and makes the
// change [ipvs.HeadsUp] later; the other tenant does not wait.
func TestDaemonAnnounces(t *testing.T) {
	if err := live.CanBalance(); err != nil {
		t.Skip("needs IPVS: ", err)
	}
	r := newDaemonRig(t)
	balanced := strings.NewReplacer("roles: [hypervisor]", "roles: [hypervisor, loadbalancer]", "45.86.152.23], portsPerHost: 1024}", `45.86.152.23], portsPerHost: 1024}
    loadBalancers:
      - {name: web, address: 45.86.152.50, listeners: [{protocol: tcp, port: 443}], backends: [{interface: vm-a}, {interface: vm-b}]}`).Replace(daemonFleet)
	r.push(balanced)
	p := r.start("hv2")
	p.converged()
	// Until the change has settled, the nodes ask each other anyway.
	p.eventually("at rest", func(s daemon.Status) bool { return time.Until(s.Next) > ipvs.SettleTime })

	r.push(strings.NewReplacer("{interface: vm-a},", "{interface: vm-a, weight: 2},", "45.86.152.24], portsPerHost: 1024", "45.86.152.24], portsPerHost: 2048").Replace(balanced))
	s := p.converged()
	if s.Converged.Took < ipvs.HeadsUp {
		t.Errorf("the change took %s, less than the other nodes have to hear of it:\n%s", s.Converged.Took, p.log)
	}
	acme, blue := s.Tenants[0], s.Tenants[1]
	if !blue.Changed.Before(acme.Changed) {
		t.Errorf("blue, changed at %s, waited for acme, changed at %s:\n%s", blue.Changed, acme.Changed, p.log)
	}
}

// TestDaemonChecks has a backend's server stop on the fleet's one load balancer, whose fleet is in files: it acts on its own verdict, and
// a daemon that was killed and starts anew goes on with it.
func TestDaemonChecks(t *testing.T) {
	r := newDaemonRig(t)
	r.push(strings.NewReplacer("192.0.2.2, roles: [hypervisor]", "192.0.2.2, roles: [hypervisor, loadbalancer]", "45.86.152.23], portsPerHost: 1024}", `45.86.152.23], portsPerHost: 1024}
    loadBalancers:
      - name: web
        address: 45.86.152.50
        listeners: [{protocol: tcp, port: 443}]
        backends: [{interface: vm-b}]
        healthCheck: {protocol: tcp, interval: 200ms, timeout: 200ms, rise: 2, fall: 5}`).Replace(daemonFleet))
	vm, at := r.open("acme/vm-b"), netip.MustParseAddrPort("10.0.0.47:443")
	server, err := traffic.Serve(vm, traffic.TCP, at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	p := r.start("hv2")
	p.converged()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	sick := func(s daemon.Status) bool {
		return len(s.Sick) == 1 && s.Sick[0].Counts && strings.Contains(s.Sick[0].Why, "probe tcp 10.0.0.47:443") && s.Healthy()
	}
	before := p.eventually("aware of the sick backend", sick)
	closed := p.eventually("at rest", func(s daemon.Status) bool { return sick(s) && time.Until(s.Next) > ipvs.SettleTime })
	if closed.Drift > 0 {
		t.Errorf("repaired what it did itself: %+v", closed)
	}
	if err := p.end(unix.SIGKILL); err == nil {
		t.Error("killed without a sign of it")
	}
	for _, words := range []string{"msg=backend backend=acme/web/vm-b was=healthy is=sick", "cause=health"} {
		if log := p.log.String(); !strings.Contains(log, words) {
			t.Errorf("no %q in the log:\n%s", words, log)
		}
	}

	again := r.start("hv2")
	after := again.converged()
	if !sick(after) || !after.Sick[0].Since.Equal(before.Sick[0].Since) || after.Changes > 0 {
		t.Errorf("a daemon that starts anew: %d changes, sick %+v, before %+v", after.Changes, after.Sick, before.Sick)
	}
	second, err := traffic.Serve(vm, traffic.TCP, at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	again.eventually("aware that it is well", func(s daemon.Status) bool { return len(s.Sick) == 0 && s.Healthy() })
}
