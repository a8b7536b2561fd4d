package main

import (
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/lab/live"
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
